"""A small deterministic ray caster: boxes, convex polytopes, ellipsoids and cylinders → depth, object id, normals.

World frame: x forward, y left, z up, in metres. Ray directions are scaled so that the ray parameter is the depth along
the optical axis. Every primitive is intersected only inside the screen rectangle of its bounding box, so the cost grows
with the covered area instead of primitives × pixels; shadows use the same routine from the light.
"""

from __future__ import annotations

import numpy as np

F = np.float32
BOX, POLY, ELL, CYL = 0, 1, 2, 3


def rot_z(a):
    c, s = np.cos(a), np.sin(a)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], F)


def rot_y(a):
    c, s = np.cos(a), np.sin(a)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], F)


def rot_x(a):
    c, s = np.cos(a), np.sin(a)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], F)


class Scene:
    def __init__(self):
        self.kind, self.c, self.h, self.R, self.cls, self.mat, self.poly, self.hole, self.inst = (
            [],
            [],
            [],
            [],
            [],
            [],
            [],
            [],
            [],
        )
        self.M = dict(tex=[], color=[], scale=[], off=[], spec=[], emit=[], fit=[])

    def material(self, tex=0, color=(1, 1, 1), scale=0.5, off=(0, 0), spec=0.0, emit=0.0, fit=0):
        for k, v in dict(tex=tex, color=color, scale=scale, off=off, spec=spec, emit=emit, fit=fit).items():
            self.M[k].append(v)
        return len(self.M["tex"]) - 1

    def _add(self, kind, c, h, R, mat, cls, poly=None, hole=0.0):
        self.kind.append(kind)
        self.c.append(np.asarray(c, F))
        self.h.append(np.asarray(h, F))
        self.R.append(np.asarray(R, F))
        self.cls.append(cls)
        self.mat.append(mat)
        self.poly.append(poly)
        self.hole.append(hole)

    def box(self, c, h, mat, cls, R=np.eye(3), hole=0.0):
        self._add(BOX, c, h, R, mat, cls, None, hole)

    def ell(self, c, h, mat, cls, R=np.eye(3), hole=0.0):
        self._add(ELL, c, h, R, mat, cls, None, hole)

    def cyl(self, c, r, hl, mat, cls, R=np.eye(3)):
        self._add(CYL, c, (r, r, hl), R, mat, cls)

    def taper(self, c, h, top, mat, cls, R=np.eye(3), shift=0.0):
        """Frustum: bottom half extents h, top face scaled by top=(sx, sy) and shifted along local x."""
        hx, hy, hz = h
        tx, ty = top
        P = []
        fx1 = np.array([2 * hz, 0, hx - (hx * tx + shift)])
        P.append((fx1, hx, -hz))
        fx0 = np.array([-2 * hz, 0, hx - (hx * tx - shift)])
        P.append((fx0, -hx, -hz))
        N = []
        D = []
        for nrm, px, pz in P:
            nrm = nrm / np.linalg.norm(nrm)
            N.append(nrm)
            D.append(nrm @ np.array([px, 0, pz]))
        for s in (1, -1):
            nrm = np.array([0, s * 2 * hz, hy - hy * ty])
            nrm /= np.linalg.norm(nrm)
            N.append(nrm)
            D.append(nrm @ np.array([0, s * hy, -hz]))
        N += [np.array([0, 0, 1.0]), np.array([0, 0, -1.0])]
        D += [hz, hz]
        e = (max(hx, hx * tx + abs(shift)), max(hy, hy * ty), hz)
        self._add(POLY, c, e, R, mat, cls, (np.array(N, F), np.array(D, F)))

    def finish(self):
        self.kind = np.array(self.kind)
        self.c = np.stack(self.c)
        self.h = np.stack(self.h)
        self.R = np.stack(self.R)
        self.cls = np.array(self.cls)
        self.mat = np.array(self.mat)
        self.hole = np.array(self.hole, F)
        self.M = {k: np.array(v, F if k not in ("tex", "fit") else np.int64) for k, v in self.M.items()}
        s = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], F)
        self.corners = self.c[:, None] + np.einsum("nij,nkj->nki", self.R, s[None] * self.h[:, None])
        return self


def _mx(a):
    m = a[..., 0]
    for k in range(1, a.shape[-1]):
        m = np.maximum(m, a[..., k])
    return m


def _mn(a):
    m = a[..., 0]
    for k in range(1, a.shape[-1]):
        m = np.minimum(m, a[..., k])
    return m


def _dot(a, b):
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _hit(sc, i, o, d, leaf):
    """Local-frame interval [tn, tf] of convex primitive i, hit mask, and a closure giving world normals at a mask."""
    R, h = sc.R[i], sc.h[i]
    k = sc.kind[i]
    ol = (o - sc.c[i]) @ R
    dl = d @ R
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if k == BOX:
            inv = 1 / dl
            a = (-h - ol) * inv
            b = (h - ol) * inv
            lo = np.minimum(a, b)
            tn = _mx(lo)
            tf = _mn(np.maximum(a, b))

            def nrm(m):
                l = lo[m]
                ax = np.where(l[:, 0] >= np.maximum(l[:, 1], l[:, 2]), 0, np.where(l[:, 1] >= l[:, 2], 1, 2))
                dd = np.broadcast_to(dl, lo.shape)[m]
                return R.T[ax] * -np.sign(dd[np.arange(len(ax)), ax])[:, None]
        elif k == POLY:
            N, D = sc.poly[i]
            num = D - ol @ N.T
            den = dl @ N.T
            t = num / den
            shp = np.broadcast_shapes(t.shape, den.shape)
            t = np.broadcast_to(t, shp)
            den = np.broadcast_to(den, shp)
            e = np.where(den < 0, t, -np.inf)
            tn = _mx(e)
            tf = _mn(np.where(den > 0, t, np.inf))

            def nrm(m):
                return N[e[m].argmax(-1)] @ R.T
        elif k == ELL:
            os_, ds = ol / h, dl / h
            A = _dot(ds, ds)
            B = _dot(os_, ds)
            C = _dot(os_, os_) - 1
            q = B * B - A * C
            s = np.sqrt(np.maximum(q, 0))
            tn = np.where(q > 0, (-B - s) / A, np.inf)
            tf = np.where(q > 0, (-B + s) / A, -np.inf)

            def nrm(m):
                p = np.broadcast_to(ol, tn.shape + (3,))[m] + tn[m][:, None] * np.broadcast_to(dl, tn.shape + (3,))[m]
                n = p / h**2
                n /= np.linalg.norm(n, axis=-1, keepdims=True) + 1e-9
                return n @ R.T
        else:
            r = h[0]
            A = dl[..., 0] ** 2 + dl[..., 1] ** 2 + 1e-12
            B = ol[..., 0] * dl[..., 0] + ol[..., 1] * dl[..., 1]
            C = ol[..., 0] ** 2 + ol[..., 1] ** 2 - r * r
            q = B * B - A * C
            s = np.sqrt(np.maximum(q, 0))
            a = (-B - s) / A
            z1 = (-h[2] - ol[..., 2]) / dl[..., 2]
            z2 = (h[2] - ol[..., 2]) / dl[..., 2]
            zl = np.minimum(z1, z2)
            tn = np.where(q > 0, np.maximum(a, zl), np.inf)
            tf = np.where(q > 0, np.minimum((-B + s) / A, np.maximum(z1, z2)), -np.inf)

            def nrm(m):
                dd = np.broadcast_to(dl, tn.shape + (3,))[m]
                p = np.broadcast_to(ol, tn.shape + (3,))[m] + tn[m][:, None] * dd
                n = p * np.array([1, 1, 0], F) / r
                cap = np.broadcast_to(zl, tn.shape)[m] >= np.broadcast_to(a, tn.shape)[m]
                n = np.where(cap[:, None], np.stack([0 * dd[:, 0], 0 * dd[:, 0], -np.sign(dd[:, 2])], -1), n)
                return n @ R.T

        ok = (tn < tf) & (tf > 1e-3) & (tn > 1e-3)
        if sc.hole[i] > 0 and ok.any():  # alpha test: ragged foliage, fence bars

            def solid(t):
                p = np.broadcast_to(ol, tn.shape + (3,))[ok] + t[ok][:, None] * np.broadcast_to(dl, tn.shape + (3,))[ok]
                if k == ELL:
                    n = leaf.shape[0]
                    q = (p * 40).astype(np.int64)
                    return (
                        leaf[(q[:, 0] * 1 + q[:, 1] * 3 + i * 37) % n, (q[:, 2] * 2 + q[:, 1] + i * 11) % n]
                        > sc.hole[i]
                    )
                return ((p[:, 0] * 7 + p[:, 1] * 7) % 1 < 0.3) | (np.abs(p[:, 2]) > h[2] * 0.8)

            m1 = solid(tn)
            m2 = solid(tf)
            tn = tn.copy()
            tn[ok] = np.where(m1, tn[ok], np.where(m2, tf[ok] - 1e-3, np.inf))
            ok = ok & np.isfinite(tn)
    return tn, ok, nrm


class Camera:
    def __init__(self, pos, R, f, H, W, cx=None, cy=None):
        self.pos = np.asarray(pos, F)
        self.R = np.asarray(R, F)
        self.f, self.H, self.W = f, H, W  # R columns: right, down, forward
        self.cx = W / 2 if cx is None else cx
        self.cy = H / 2 if cy is None else cy
        v, u = np.mgrid[0:H, 0:W].astype(F)
        d = np.stack([(u + 0.5 - self.cx) / f, (v + 0.5 - self.cy) / f, np.ones_like(u)], -1)
        self.d_cam = d
        self.d = (d @ self.R.T).astype(F)


def look(yaw, pitch, roll):
    """Camera axes as columns (right, down, forward) for yaw about z, pitch up, roll."""
    fwd0, right0, down0 = np.array([1, 0, 0.0]), np.array([0, -1, 0.0]), np.array([0, 0, -1.0])
    B = np.stack([right0, down0, fwd0], 1)
    c, s = np.cos(roll), np.sin(roll)
    rr = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return (rot_z(yaw) @ rot_y(-pitch) @ B @ rr).astype(F)


def gbuffer(sc, cam, leaf, near=0.3):
    H, W = cam.H, cam.W
    Z = np.full((H, W), np.inf, F)
    pid = np.full((H, W), -1, np.int32)
    N = np.zeros((H, W, 3), F)
    q = (sc.corners - cam.pos) @ cam.R
    z = q[..., 2]
    zmin = z.min(1)
    front = zmin > near
    zz = np.maximum(z, near)
    u = q[..., 0] / zz * cam.f + cam.cx
    v = q[..., 1] / zz * cam.f + cam.cy
    u0 = np.where(front, u.min(1), 0)
    u1 = np.where(front, u.max(1), W)
    v0 = np.where(front, v.min(1), 0)
    v1 = np.where(front, v.max(1), H)
    u0 = np.clip(np.floor(u0 - 0.5), 0, W).astype(int)
    u1 = np.clip(np.ceil(u1 + 0.5), 0, W).astype(int)
    v0 = np.clip(np.floor(v0 - 0.5), 0, H).astype(int)
    v1 = np.clip(np.ceil(v1 + 0.5), 0, H).astype(int)
    vis = (z.max(1) > near) & (u1 > u0) & (v1 > v0)
    for i in np.argsort(zmin, kind="stable"):
        if not vis[i]:
            continue
        w = (slice(v0[i], v1[i]), slice(u0[i], u1[i]))
        zw = Z[w]
        if zw.max() < zmin[i]:
            continue
        tn, ok, nrm = _hit(sc, i, cam.pos, cam.d[w], leaf)
        ok &= tn < zw
        if ok.any():
            zw[ok] = tn[ok]
            pid[w][ok] = i
            N[w][ok] = nrm(ok)
    return Z, pid, N


class ShadowMap:
    """Orthographic depth map along the sun direction, built with the same windowed intersection routine."""

    def __init__(self, sc, sun, lo, hi, n=(160, 320), leaf=None, skip=None):
        f = -sun / np.linalg.norm(sun)
        a = np.cross(f, [0, 1, 0])
        a /= np.linalg.norm(a)
        b = np.cross(f, a)
        self.B = np.stack([a, b, f], 1).astype(F)
        box = np.array([[x, y, z] for x in (lo[0], hi[0]) for y in (lo[1], hi[1]) for z in (lo[2], hi[2])]) @ self.B
        self.m0 = box[:, :2].min(0)
        self.m1 = box[:, :2].max(0)
        self.n = n
        self.s = np.array([n[0], n[1]]) / (self.m1 - self.m0)
        q = sc.corners @ self.B
        self.z0 = q[..., 2].min() - 1.0
        c0 = (q[..., :2].min(1) - self.m0) * self.s
        c1 = (q[..., :2].max(1) - self.m0) * self.s
        c0 = np.clip(np.floor(c0 - 0.5), 0, n).astype(int)
        c1 = np.clip(np.ceil(c1 + 0.5), 0, n).astype(int)
        gi, gj = np.mgrid[0 : n[0], 0 : n[1]]
        O = (
            np.stack(
                [(gi + 0.5) / self.s[0] + self.m0[0], (gj + 0.5) / self.s[1] + self.m0[1], np.full(gi.shape, self.z0)],
                -1,
            )
            @ self.B.T
        ).astype(F)
        self.D = np.full(n, np.inf, F)
        d = self.B[:, 2]
        zmin = q[..., 2].min(1) - self.z0
        for i in range(len(sc.kind)):
            if (c1[i] <= c0[i]).any() or (skip is not None and skip[i]):
                continue
            w = (slice(c0[i, 0], c1[i, 0]), slice(c0[i, 1], c1[i, 1]))
            zw = self.D[w]
            if zw.max() < zmin[i]:
                continue
            tn, ok, _ = _hit(sc, i, O[w], d, leaf)
            ok &= tn < zw
            zw[ok] = tn[ok]

    def lit(self, P, bias=0.12):
        q = P @ self.B
        ij = (q[..., :2] - self.m0) * self.s
        i0 = np.floor(ij - 0.5).astype(int)
        fr = (ij - 0.5 - i0).astype(F)
        z = q[..., 2] - self.z0 - bias
        out = 0
        for a in (0, 1):
            for b in (0, 1):
                i = i0[..., 0] + a
                j = i0[..., 1] + b
                ins = (i >= 0) & (j >= 0) & (i < self.n[0]) & (j < self.n[1])
                L = np.where(ins, self.D[np.clip(i, 0, self.n[0] - 1), np.clip(j, 0, self.n[1] - 1)] > z, True)
                out = out + L * (fr[..., 0] if a else 1 - fr[..., 0]) * (fr[..., 1] if b else 1 - fr[..., 1])
        return out.astype(F)


def shift(a, dy, dx):
    """Shift with edge replication (no wrap-around)."""
    H, W = a.shape[:2]
    return a[np.clip(np.arange(H) - dy, 0, H - 1)][:, np.clip(np.arange(W) - dx, 0, W - 1)]


def blotches(rng, height, width, share):
    """Mask [H, W] of about ``share``: patches of 3 × 3 pixels and single ones, as a depth sensor loses them."""
    rows, columns = -(-height // 3), -(-width // 3)
    patches = (rng.random((rows, columns)) < 0.6 * share).repeat(3, 0).repeat(3, 1)[:height, :width]
    return patches | (rng.random((height, width)) < 0.4 * share)


def ssao(Z, f, radius=0.6):
    Zc = np.where(np.isfinite(Z), Z, 1e4).astype(F)
    occ = np.zeros_like(Zc)
    for s in (2, 5, 9):
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)):
            Zs, Zo = shift(Zc, dy * s, dx * s), shift(Zc, -dy * s, -dx * s)
            curv = Zc - 0.5 * (Zs + Zo)  # concave when the neighbours are nearer than the plane
            occ += np.clip(curv / radius * 4, 0, 1) * (np.abs(Zs - Zo) < 6 * radius)
    return blur3(blur3((1 - 0.6 * np.clip(occ / 12, 0, 1))[..., None], 1.2), 1.2)[..., 0]


def shade(sc, cam, bank, Z, pid, N):
    """Albedo / specular / emission per pixel from box-mapped, mip-mapped textures."""
    m = pid >= 0
    p = pid[m]
    P = cam.pos + Z[m][:, None] * cam.d[m]
    R = sc.R[p]
    L = np.einsum("nj,njk->nk", P - sc.c[p], R)
    nl = np.abs(np.einsum("nj,njk->nk", N[m], R))
    mat = sc.mat[p]
    M = sc.M
    ax = nl.argmax(1)
    u = np.where(ax == 0, L[:, 1], L[:, 0])
    v = np.where(ax == 2, L[:, 1], L[:, 2])
    fit = M["fit"][mat] == 1
    h = sc.h[p]
    hu = np.where(ax == 0, h[:, 1], h[:, 0])
    hv = np.where(ax == 2, h[:, 1], h[:, 2])
    s = M["scale"][mat]
    uu = np.where(fit, 0.5 + 0.499 * u / hu, u * s + M["off"][mat, 0])
    vv = np.where(fit, 0.5 + 0.499 * v / hv, (v + h[:, 2]) * s + M["off"][mat, 1])
    dm = cam.d[m]
    cosv = np.abs(_dot(N[m], dm)) / np.sqrt(_dot(dm, dm))
    seff = np.where(fit, 0.5 / np.maximum(np.minimum(hu, hv), 1e-3), s)
    lvl = np.log2(np.maximum(Z[m] / cam.f * seff * bank.n / np.maximum(cosv, 0.25), 1e-6)) + 0.3
    A = np.zeros(Z.shape + (3,), F)
    A[m] = bank.sample(M["tex"][mat], uu, vv, np.maximum(np.round(lvl), 0)) * M["color"][mat]
    S = np.zeros(Z.shape, F)
    S[m] = M["spec"][mat]
    E = np.zeros(Z.shape, F)
    E[m] = M["emit"][mat]
    return A, S, E


def blur3(x, s):
    k = np.exp(-0.5 * (np.arange(-1, 2) / s) ** 2)
    k = (k / k.sum()).astype(F)
    p = np.pad(x, ((1, 1), (1, 1), (0, 0)), "edge")
    y = k[0] * p[:-2] + k[1] * p[1:-1] + k[2] * p[2:]
    return k[0] * y[:, :-2] + k[1] * y[:, 1:-1] + k[2] * y[:, 2:]
