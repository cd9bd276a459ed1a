"""Procedural tileable textures with mip levels, the same for every scene of a generator version."""

from __future__ import annotations

import numpy as np

F = np.float32


def _noise(rng, n, octaves=6, persistence=0.55, first=2):
    out = np.zeros((n, n), F)
    amp = 1.0
    tot = 0.0
    for o in range(octaves):
        k = first << o
        if k > n:
            break
        g = rng.random((k, k)).astype(F)
        r = np.arange(n) * k / n
        i = r.astype(int)
        f = (r - i).astype(F)
        f = f * f * (3 - 2 * f)
        j = (i + 1) % k
        a = g[i][:, i] * (1 - f)[None] + g[i][:, j] * f[None]
        b = g[j][:, i] * (1 - f)[None] + g[j][:, j] * f[None]
        out += amp * (a * (1 - f)[:, None] + b * f[:, None])
        tot += amp
        amp *= persistence
    out /= tot
    return (out - out.min()) / (np.ptp(out) + 1e-6)


class TextureBank:
    """Tileable textures (K, N, N, 3) in [0, 1] with box-filtered mip levels in one flat buffer."""

    def __init__(self, seed=0, n=256):
        self.rng = np.random.default_rng(seed)
        self.n = n
        self.names = {}
        self.imgs = []
        self._build()
        imgs = np.stack(self.imgs).astype(F)
        self.levels = []
        self.off = []
        flat = []
        off = 0
        while True:
            self.off.append(off)
            flat.append(imgs.reshape(-1, 3))
            off += flat[-1].shape[0]
            self.levels.append(imgs.shape[1])
            if imgs.shape[1] <= 2:
                break
            imgs = 0.25 * (imgs[:, ::2, ::2] + imgs[:, 1::2, ::2] + imgs[:, ::2, 1::2] + imgs[:, 1::2, 1::2])
        self.flat = np.concatenate(flat)
        self.off = np.array(self.off)
        self.levels = np.array(self.levels)

    def add(self, name, img):
        if img.ndim == 2:
            img = np.repeat(img[..., None], 3, -1)
        self.names.setdefault(name, []).append(len(self.imgs))
        self.imgs.append(np.clip(img, 0, 1).astype(F))

    def pick(self, rng, name):
        ids = self.names[name]
        return ids[int(rng.integers(len(ids)))]

    def sample(self, k, u, v, lvl):
        lvl = np.clip(lvl, 0, len(self.levels) - 1).astype(np.int64)
        s = self.levels[lvl]
        ui = np.floor((u - np.floor(u)) * s).astype(np.int64)
        vi = np.floor((v - np.floor(v)) * s).astype(np.int64)
        return self.flat[self.off[lvl] + (k * s + np.minimum(vi, s - 1)) * s + np.minimum(ui, s - 1)]

    def _build(self):
        r, n = self.rng, self.n
        N = lambda *a, **k: _noise(r, n, *a, **k)
        yy, xx = np.mgrid[0:n, 0:n].astype(F) / n
        self.add("flat", np.ones((n, n), F))
        self.add("foliage_mask", N(5, 0.75, 8))
        self.add("fine", 0.75 + 0.25 * N(7, 0.9, 32))
        self.add("clouds", N(7, 0.55, 2))
        for _ in range(3):
            a = 0.72 + 0.16 * N(6, 0.6, 2) + 0.22 * (r.random((n, n)).astype(F) - 0.5)
            a *= np.where(np.abs(N(6, 0.6, 3) - 0.5) < 0.008, 0.55, 1)  # cracks
            a *= np.where(N(4, 0.4, 2) > 0.72, 0.82, 1)
            self.add("asphalt", a)  # patches
        for k in (6, 10, 16):
            a = 0.8 + 0.25 * (N(6, 0.7, 8) - 0.5)
            g = ((xx * k) % 1 < 0.05) | ((yy * k) % 1 < 0.05)
            t = (
                r.random((k, k)).astype(F)[(yy * k).astype(int) % k][:, :][
                    np.arange(n)[:, None], (xx * k).astype(int) % k
                ]
                if False
                else r.random((k, k)).astype(F)[(yy * k).astype(int) % k, (xx * k).astype(int) % k]
            )
            self.add("paving", np.where(g, 0.55, a + 0.12 * (t - 0.5)))
        for _ in range(3):
            a = N(7, 0.8, 4)
            self.add("grass", np.stack([0.55 * a + 0.2, 0.8 * a + 0.3, 0.35 * a + 0.12], -1))
        for k in (12, 20):
            row = (yy * k).astype(int)
            x2 = (xx * k / 2 + 0.5 * (row % 2)) % (k // 2)
            br = r.random((k, k)).astype(F)[row % k, x2.astype(int) % k]
            m = ((yy * k) % 1 < 0.12) | (x2 % 1 < 0.06)
            a = 0.75 + 0.35 * (br - 0.5) + 0.2 * (N(7, 0.8, 16) - 0.5)
            self.add("brick", np.where(m[..., None], 0.78, a[..., None] * np.array([1, 0.93, 0.88], F)))
        for _ in range(3):
            self.add("plaster", 0.86 + 0.2 * (N(7, 0.7, 2) - 0.5) + 0.06 * (r.random((n, n)).astype(F) - 0.5))
        for _ in range(16):
            self.add("facade", self._facade())
        for _ in range(4):
            self.add("shop", self._shop())
        for k in (5, 8):
            p = (xx * k).astype(int)
            a = 0.75 + 0.3 * (r.random(k).astype(F)[p % k] - 0.5)
            gr = _noise(r, n, 6, 0.7, 2)
            gr = np.roll(gr[:, (np.arange(n) * 6) % n], 0)
            a = a + 0.22 * (gr - 0.5)
            a = np.where((xx * k) % 1 < 0.03, 0.45, a)
            self.add("wood", np.stack([a, a * 0.93, a * 0.84], -1))
        for _ in range(3):
            self.add("cloth", 0.8 + 0.25 * (N(7, 0.9, 16) - 0.5) + 0.12 * (N(3, 0.5, 2) - 0.5))
        for k in (4, 8, 14):
            s = np.sin(xx * 2 * np.pi * k) > r.uniform(-0.6, 0.6)
            c = r.random((2, 3)).astype(F) * 0.6 + 0.4
            self.add("stripes", np.where(s[..., None], c[0], c[1]) * (0.85 + 0.15 * N(6, 0.8, 16))[..., None])
        for k in (3, 5, 8):
            c = r.random((3, 3)).astype(F) * 0.5 + 0.5
            d = (((xx * k) % 1 - 0.5) ** 2 + ((yy * k) % 1 - 0.5) ** 2) < r.uniform(0.03, 0.12)
            self.add("pattern", np.where(d[..., None], c[0], c[1]) * (0.9 + 0.1 * N(6, 0.8, 8))[..., None])
        for _ in range(3):
            a = 0.7 + 0.35 * (N(7, 0.95, 32) - 0.5) + 0.15 * (N(3, 0.5, 2) - 0.5)
            self.add("carpet", a)
        for _ in range(10):  # paintings, posters
            c = r.random((5, 3)).astype(F)
            a = N(5, 0.6, 2)
            b = N(5, 0.6, 3)
            img = c[(a * 4.99).astype(int)] * 0.7 + 0.3 * c[(b * 4.99).astype(int)]
            for _ in range(int(r.integers(0, 6))):
                x0, y0, w, h = r.random(4)
                m = (xx > x0) & (xx < x0 + 0.4 * w) & (yy > y0) & (yy < y0 + 0.4 * h)
                img = np.where(m[..., None], r.random(3).astype(F), img)
            m = (xx < 0.04) | (xx > 0.96) | (yy < 0.04) | (yy > 0.96)
            self.add("picture", np.where(m[..., None], r.random(3).astype(F) * 0.5, img))
        for _ in range(8):  # signs
            c = np.array(
                [[0.8, 0.05, 0.05], [0.05, 0.15, 0.7], [0.9, 0.9, 0.9], [0.95, 0.8, 0.05], [0.05, 0.5, 0.15]], F
            )
            a, b = r.permutation(5)[:2]
            d = np.maximum(np.abs(xx - 0.5), np.abs(yy - 0.5))
            img = np.where((d > 0.36)[..., None], c[a], c[b])
            m = (np.abs(xx - 0.5) < 0.2) & (np.abs(yy - 0.5) < 0.07)
            img = np.where(m[..., None], c[r.integers(5)], img)
            self.add("sign", img)
        for _ in range(6):
            self.add("books", self._books())
        for _ in range(4):
            a = N(4, 0.5, 2)
            img = np.stack([0.45 + 0.3 * a, 0.6 + 0.3 * a, 0.8 + 0.2 * a], -1)
            t = N(6, 0.7, 3) + 1.6 * yy
            img = np.where(
                (t < 1.0)[..., None], np.stack([0.25 + 0.2 * N(6), 0.4 + 0.2 * N(6), 0.2 + 0.1 * N(6)], -1), img
            )
            m = (np.abs(xx - 0.5) < 0.02) | (np.abs(yy - 0.5) < 0.015)
            self.add("outside", np.where(m[..., None], 0.85, img * 1.0))
        for _ in range(4):
            a = N(5, 0.6, 2)
            img = np.stack([a * r.random(), a * r.random(), a * r.random()], -1) * r.uniform(0.1, 1.0)
            self.add("screen", img)

    def _facade(self):
        r, n = self.rng, self.n
        img = np.ones((n, n, 3), F) * (
            r.uniform(0.6, 1) * np.array([1, 0.96, 0.88]) * (1 + 0.07 * r.normal(size=3))
        ).astype(F)
        img *= (0.86 + 0.28 * _noise(r, n, 7, 0.7, 2))[..., None]
        nx, ny = int(r.integers(3, 6)), int(r.integers(3, 6))
        ww, hh = r.uniform(0.35, 0.75), r.uniform(0.45, 0.75)
        if r.random() < 0.4:
            row = np.arange(n) * 40 // n
            img *= np.where((row % 2)[:, None, None] == 0, 1, 0.93)
        for i in range(nx):
            for j in range(ny):
                cx, cy = (i + 0.5) * n / nx, (j + 0.5) * n / ny
                w, h = ww * n / nx / 2, hh * n / ny / 2
                x0, x1, y0, y1 = int(cx - w), int(cx + w), int(cy - h), int(cy + h)
                img[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2] = r.uniform(0.55, 1)
                g = r.uniform(0.05, 0.4) * np.array([0.8, 0.95, 1.1])
                pane = np.ones((y1 - y0, x1 - x0, 3), F) * g
                pane *= np.linspace(r.uniform(0.6, 1.8), 1, y1 - y0)[:, None, None]
                if r.random() < 0.25:
                    pane[: int((y1 - y0) * r.uniform(0.2, 0.9))] = r.uniform(0.6, 0.95, 3)  # blinds
                if r.random() < 0.07:
                    pane[:] = [1.0, 0.85, 0.5]
                img[y0:y1, x0:x1] = pane
                img[y0:y1, int(cx) - 1 : int(cx) + 1] = r.uniform(0.5, 0.9)
        return img[::-1]

    def _shop(self):
        r, n = self.rng, self.n
        img = np.ones((n, n, 3), F) * r.uniform(0.4, 0.9, 3)
        k = int(r.integers(2, 4))
        for i in range(k):
            a, b = int(i * n / k) + 8, int((i + 1) * n / k) - 8
            img[40 : n - 70, a:b] = r.uniform(0.05, 0.3) * np.array([0.9, 1, 1.1])
            img[40 : n - 70, a:b] *= 0.5 + _noise(r, n, 5, 0.6, 3)[40 : n - 70, a:b, None]
            img[n - 62 : n - 20, a:b] = r.random(3)
            for _ in range(8):
                x = int(r.integers(a, b - 6))
                img[n - 50 : n - 32, x : x + int(r.integers(3, 7))] = r.random(3)
        return img

    def _books(self):
        r, n = self.rng, self.n
        img = np.zeros((n, n, 3), F) + 0.08
        x = 0
        while x < n - 4:
            w = int(r.integers(6, 22))
            h = int(n * r.uniform(0.6, 1))
            img[:h, x : x + w] = r.random(3) * r.uniform(0.4, 1)
            img[:h, x : x + 1] *= 0.4
            if r.random() < 0.6:
                img[int(h * 0.3) : int(h * 0.45), x + 1 : x + w - 1] = r.random(3)
            x += w + (0 if r.random() < 0.85 else int(r.integers(4, 20)))
        return img
