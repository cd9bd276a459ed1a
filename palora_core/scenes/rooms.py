"""Indoor scenes: 13 classes, depth in metres and unit normals (x right, y down, z forward), from a seeded grammar."""

from __future__ import annotations

import numpy as np

from palora_core.scenes.raycast import Camera, Scene, blotches, blur3, gbuffer, look, rot_y, rot_z, shade, shift, ssao
from palora_core.scenes.streets import hsv

F = np.float32
CLASSES = [
    "bed",
    "books",
    "ceiling",
    "chair",
    "floor",
    "furniture",
    "objects",
    "picture",
    "sofa",
    "table",
    "tv",
    "wall",
    "window",
]
BED, BOOK, CEIL, CHAIR, FLOOR, FURN, OBJ, PIC, SOFA, TABLE, TV, WALL, WIN = range(13)


class Room:
    def __init__(self, rng, bank):
        self.r, self.bank, self.s = rng, bank, Scene()
        r = rng
        self.X, self.Y, self.Hh = r.uniform(2.9, 6.2), r.uniform(2.7, 5.4), r.uniform(2.3, 2.9)
        self.used = []
        self.build()

    def mt(self, name, color=(1, 1, 1), **k):
        k.setdefault("scale", 0.6)
        return self.s.material(self.bank.pick(self.r, name), np.clip(color, 0, 1.3), off=self.r.random(2), **k)

    def grey(self, lo=0.2, hi=0.9, sat=0.12):
        return self.r.uniform(lo, hi) * (1 + sat * self.r.normal(size=3))

    def any(self, s=0.5):
        return hsv(self.r.random(), self.r.uniform(0, s), self.r.uniform(0.15, 0.95))

    def woodc(self):
        return hsv(self.r.uniform(0.04, 0.11), self.r.uniform(0.15, 0.6), self.r.uniform(0.25, 0.95))

    def build(self):
        r, s = self.r, self.s
        X, Y, H = self.X, self.Y, self.Hh
        wc = self.grey(0.55, 1.05, 0.1) if r.random() < 0.75 else self.any(0.45) + 0.25
        t = 0.1
        wm = self.mt(
            r.choice(
                ["plaster", "plaster", "plaster", "stripes", "pattern", "brick", "wood"],
                p=[0.25, 0.25, 0.2, 0.08, 0.08, 0.07, 0.07],
            ),
            wc,
            scale=r.uniform(0.25, 0.7),
        )
        wm2 = self.mt("plaster", self.any(0.5) + 0.2) if r.random() < 0.3 else wm
        s.box(
            (X / 2, Y / 2, -t),
            (X / 2 + t, Y / 2 + t, t),
            self.mt(
                r.choice(["wood", "carpet", "paving", "cloth"]),
                self.woodc() if r.random() < 0.5 else self.grey(0.3, 0.9),
                scale=r.uniform(0.4, 1.0),
                spec=r.choice([0, 0.15, 0.3]),
            ),
            FLOOR,
        )
        s.box((X / 2, Y / 2, H + t), (X / 2 + t, Y / 2 + t, t), self.mt("plaster", self.grey(0.7, 1.05, 0.05)), CEIL)
        for c, h, m in (
            ((-t, Y / 2, H / 2), (t, Y / 2 + t, H / 2), wm),
            ((X + t, Y / 2, H / 2), (t, Y / 2 + t, H / 2), wm2),
            ((X / 2, -t, H / 2), (X / 2, t, H / 2), wm),
            ((X / 2, Y + t, H / 2), (X / 2, t, H / 2), wm),
        ):
            s.box(c, h, m, WALL)
        if r.random() < 0.5:
            sk = self.mt("wood", self.grey(0.5, 1))
            s.box((X, Y / 2, 0.05), (0.015, Y / 2, 0.05), sk, WALL)
            s.box((X / 2, 0, 0.05), (X / 2, 0.015, 0.05), sk, WALL)
            s.box((X / 2, Y, 0.05), (X / 2, 0.015, 0.05), sk, WALL)
        self.windows = []
        for _ in range(int(r.integers(0, 4))):
            self.window()
        if r.random() < 0.5:
            self.door()
        kind = r.choice(["bedroom", "living", "office", "dining", "mixed"], p=[0.25, 0.25, 0.2, 0.15, 0.15])
        plan = {
            "bedroom": ["bed", "wardrobe", "nightstand", "desk", "shelf", "chair"],
            "living": ["sofa", "sofa", "tvset", "coffee", "shelf", "cabinet", "chair", "lamp"],
            "office": ["desk", "desk", "chair", "chair", "shelf", "shelf", "cabinet"],
            "dining": ["dining", "cabinet", "cabinet", "shelf", "chair"],
            "mixed": list(
                r.choice(["bed", "sofa", "desk", "shelf", "cabinet", "dining", "tvset", "chair", "wardrobe", "lamp"], 6)
            ),
        }[kind]
        plan = list(plan) + list(
            r.choice(
                [
                    "sofa",
                    "desk",
                    "shelf",
                    "cabinet",
                    "bed",
                    "tvset",
                    "chair",
                    "chair",
                    "wardrobe",
                    "lamp",
                    "nightstand",
                    "shelf",
                ],
                int(r.integers(2, 7)),
            )
        )
        for it in plan:
            if r.random() < 0.88:
                getattr(self, it)()
        for _ in range(int(r.integers(1, 7))):
            self.picture()
        for _ in range(int(r.poisson(5))):
            self.clutter(np.array([r.uniform(0.4, X - 0.4), r.uniform(0.4, Y - 0.4), 0]), big=True)
        for _ in range(int(r.integers(0, 3))):
            self.s.box(
                (r.uniform(0.8, X - 0.8), r.uniform(0.8, Y - 0.8), self.Hh - 0.04),
                (r.uniform(0.1, 0.5), r.uniform(0.1, 0.5), 0.03),
                self.mt("flat", (1, 1, 0.95), emit=1.2),
                OBJ,
            )

    # ---- placing along walls: returns centre, rotation (local +x points into the room)
    def place(self, L, D, tries=14, free=False):
        r = self.r
        for _ in range(tries):
            w = int(r.integers(4)) if not free else 4
            if w == 4:
                yaw = r.uniform(0, 2 * np.pi)
                p = np.array([r.uniform(0.8, self.X - 0.8), r.uniform(0.8, self.Y - 0.8), 0])
            else:
                yaw = [0, np.pi / 2, np.pi, -np.pi / 2][w]
                span = self.X if w in (1, 3) else self.Y
                if span < L + 0.2:
                    continue
                a = r.uniform(L / 2 + 0.05, span - L / 2 - 0.05)
                g = D / 2 + r.uniform(0.01, 0.06)
                p = np.array([[g, a, 0], [a, g, 0], [self.X - g, a, 0], [a, self.Y - g, 0]][w])
                yaw += r.normal(0, 0.02)
            rad = 0.42 * np.hypot(L, D)
            if all(np.hypot(*(p - q)[:2]) > rad + k for q, k in self.used):
                self.used.append((p, rad))
                return p, rot_z(yaw)
        return None

    def b(self, p, R, off, h, m, cls):
        self.s.box(p + R @ np.asarray(off, float), h, m, cls, R)

    def window(self):
        r = self.r
        w = int(r.integers(4))
        L, h = r.uniform(0.4, 1.1), r.uniform(0.4, 0.75)
        span = self.X if w in (1, 3) else self.Y
        if span < 2 * L + 0.6:
            return
        a = r.uniform(L + 0.2, span - L - 0.2)
        z = r.uniform(0.85, 1.1) + h
        p = np.array([[0, a, z], [a, 0, z], [self.X, a, z], [a, self.Y, z]][w])
        R = rot_z([0, np.pi / 2, np.pi, -np.pi / 2][w])
        z = min(z, self.Hh - h - 0.1)
        p[2] = z
        self.b(p, R, (0.01, 0, 0), (0.02, L, h), self.mt("outside", (1, 1, 1), fit=1, emit=r.uniform(0.5, 1.6)), WIN)
        fm = self.mt("flat", self.grey(0.5, 1))
        self.windows.append((p, R))
        for o, hh in (
            ((0.03, 0, h), (0.03, L + 0.05, 0.04)),
            ((0.05, 0, -h), (0.06, L + 0.08, 0.03)),
            ((0.03, L, 0), (0.03, 0.04, h)),
            ((0.03, -L, 0), (0.03, 0.04, h)),
        ):
            self.b(p, R, o, hh, fm, WIN)
        if r.random() < 0.45:
            cm = self.mt("cloth" if r.random() < 0.6 else "stripes", self.any(0.6) + 0.1, scale=0.6)
            for sy in (-1, 1):
                for k in range(3):
                    self.s.cyl(p + R @ np.array([0.1, sy * (L + 0.02 + 0.11 * k), -0.1]), 0.07, h + 0.3, cm, WIN)
        elif r.random() < 0.4:
            bm = self.mt("flat", self.grey(0.6, 1))
            for k in range(int(r.integers(4, 14))):
                self.b(p, R, (0.05, 0, h - 0.07 * k - 0.05), (0.02, L, 0.025), bm, WIN)

    def door(self):
        r = self.r
        a = r.uniform(0.6, self.Y - 0.6)
        c = self.woodc() if r.random() < 0.5 else self.grey(0.6, 1)
        x, sx = (0, 1) if r.random() < 0.5 else (self.X, -1)
        self.s.box((x + sx * 0.02, a, 1.0), (0.03, 0.42, 1.0), self.mt("wood", c, spec=0.1), WALL)
        self.s.ell((x + sx * 0.08, a + 0.33, 1.0), (0.04, 0.05, 0.04), self.mt("flat", (0.7, 0.6, 0.3), spec=0.6), WALL)
        for dy in (-0.46, 0.46):
            self.s.box((x + sx * 0.02, a + dy, 1.02), (0.04, 0.05, 1.04), self.mt("flat", self.grey(0.6, 1)), WALL)

    def picture(self):
        r = self.r
        w = int(r.integers(4))
        L, h = r.uniform(0.15, 0.6), r.uniform(0.15, 0.5)
        span = self.X if w in (1, 3) else self.Y
        a = r.uniform(L + 0.1, span - L - 0.1)
        z = r.uniform(1.3, 1.9)
        p = np.array([[0, a, z], [a, 0, z], [self.X, a, z], [a, self.Y, z]][w])
        R = rot_z([0, np.pi / 2, np.pi, -np.pi / 2][w])
        if any(np.linalg.norm(p - q) < 1.1 for q, _ in self.windows):
            return
        self.b(p, R, (0.015, 0, 0), (0.02, L, h), self.mt("picture", (1, 1, 1), fit=1, spec=r.choice([0, 0.4])), PIC)

    def clutter(self, p, n=1, big=False):
        r = self.r
        k = (2.2 if big else 1) * r.uniform(0.7, 1.3)
        u = r.random()
        m = self.mt(
            r.choice(["flat", "picture", "cloth", "wood", "fine"]), self.any(0.8), spec=r.choice([0, 0.3]), scale=2.0
        )
        R = rot_z(r.uniform(0, 6))
        if u < 0.35:
            h = r.uniform(0.03, 0.14, 3) * k
            self.s.box(p + [0, 0, h[2]], h, m, OBJ, R)
        elif u < 0.65:
            h = r.uniform(0.05, 0.16) * k
            self.s.cyl(p + [0, 0, h], r.uniform(0.03, 0.08) * k, h, m, OBJ)
        elif u < 0.82:
            h = r.uniform(0.05, 0.12) * k
            self.s.ell(p + [0, 0, h], (h * r.uniform(0.7, 1.2), h, h), m, OBJ, R)
        else:  # plant
            h = 0.1 * k
            self.s.cyl(p + [0, 0, h], 0.08 * k, h, m, OBJ)
            g = self.mt("grass", hsv(0.3, 0.5, 0.8), scale=2.0)
            for _ in range(4):
                self.s.ell(
                    p + [r.normal(0, 0.06) * k, r.normal(0, 0.06) * k, 2 * h + r.uniform(0.03, 0.22) * k],
                    r.uniform(0.06, 0.14, 3) * k,
                    g,
                    OBJ,
                    hole=0.42,
                )

    def scatter(self, p, R, L, D, z, n, laptop=False):
        for _ in range(n):
            self.clutter(p + R @ np.array([self.r.uniform(-0.4, 0.4) * D, self.r.uniform(-0.42, 0.42) * L, z]))
        if laptop:
            m = self.mt("flat", self.grey(0.05, 0.6))
            self.b(p, R, (-0.1 * D, 0, z + 0.3), (0.02, 0.28, 0.18), m, TV)
            self.b(
                p,
                R,
                (-0.1 * D + 0.022, 0, z + 0.3),
                (0.002, 0.26, 0.16),
                self.mt("screen", fit=1, emit=self.r.uniform(0, 0.8), spec=0.4),
                TV,
            )
            self.b(p, R, (-0.1 * D, 0, z + 0.05), (0.06, 0.08, 0.06), m, TV)
        for _ in range(int(self.r.integers(0, 3))):
            q = p + R @ np.array([self.r.uniform(-0.3, 0.3) * D, self.r.uniform(-0.4, 0.4) * L, z])
            Rb = rot_z(self.r.uniform(0, 6))
            for k in range(int(self.r.integers(1, 5))):
                self.s.box(
                    q + [0, 0, 0.02 + 0.04 * k],
                    (0.11, 0.08, 0.018),
                    self.mt("flat", self.any(0.8)),
                    BOOK,
                    Rb @ rot_z(self.r.normal(0, 0.1)),
                )

    def bed(self):
        r = self.r
        L, D = r.uniform(1.0, 2.0), r.uniform(1.9, 2.1)
        a = self.place(L, D)
        if not a:
            return
        p, R = a
        m = self.mt("wood", self.woodc())
        sh = self.mt(r.choice(["cloth", "stripes", "pattern"]), self.any(0.6) + 0.15, scale=0.5)
        wh = self.mt("cloth", self.grey(0.6, 1.1))
        self.b(p, R, (0, 0, 0.16), (D / 2, L / 2, 0.14), m, BED)
        self.b(p, R, (0, 0, 0.4), (D / 2 - 0.02, L / 2 - 0.02, 0.12), wh, BED)
        self.s.ell(p + R @ np.array([0.15, 0, 0.5]), (D / 2 * 0.9, L / 2 * 1.02, 0.12), sh, BED, R)
        self.b(p, R, (0.18, 0, 0.42), (D / 2 * 0.83, L / 2 + 0.01, 0.13), sh, BED)
        self.b(p, R, (-D / 2, 0, 0.5), (0.04, L / 2 + 0.02, r.uniform(0.35, 0.6)), m, BED)
        for sy in (-0.25, 0.25) if L > 1.3 else (0,):
            self.s.ell(
                p + R @ np.array([-D / 2 + 0.3, sy * L, 0.58]),
                (0.2, 0.3, 0.1),
                wh if r.random() < 0.6 else sh,
                BED,
                R @ rot_z(r.normal(0, 0.1)),
            )

    def sofa(self):
        r = self.r
        L, D = r.uniform(1.0, 2.3), r.uniform(0.8, 0.95)
        a = self.place(L, D)
        if not a:
            return
        p, R = a
        m = self.mt(r.choice(["cloth", "cloth", "flat", "stripes", "pattern"]), self.any(0.5), spec=r.choice([0, 0.2]))
        z = 0.22
        self.b(p, R, (0, 0, z), (D / 2, L / 2, 0.2), m, SOFA)
        self.s.taper(p + R @ np.array([-D / 2 + 0.14, 0, 0.58]), (0.16, L / 2, 0.32), (0.6, 1), m, SOFA, R)
        for sy in (-1, 1):
            self.b(p, R, (0, sy * (L / 2 - 0.08), 0.36), (D / 2, 0.09, 0.28), m, SOFA)
            self.s.cyl(p + R @ np.array([0, sy * (L / 2 - 0.08), 0.62]), 0.1, D / 2, m, SOFA, R @ rot_y(np.pi / 2))
        n = max(1, int(L / 0.7))
        for i in range(n):
            self.s.ell(
                p + R @ np.array([0.08, (i + 0.5 - n / 2) * (L - 0.3) / n, 0.45]),
                (D / 2 * 0.85, (L - 0.3) / n / 1.8, 0.12),
                m,
                SOFA,
                R,
            )
        for _ in range(int(r.integers(0, 4))):
            self.s.ell(
                p + R @ np.array([-0.12, r.uniform(-0.35, 0.35) * L, 0.68]),
                (0.09, 0.2, 0.2),
                self.mt(r.choice(["cloth", "pattern", "stripes"]), self.any(0.8)),
                SOFA,
                R @ rot_y(-0.3),
            )

    def legs(self, p, R, L, D, z, m, cls, t=0.03):
        for sx in (-1, 1):
            for sy in (-1, 1):
                self.b(p, R, (sx * (D / 2 - t - 0.03), sy * (L / 2 - t - 0.03), z / 2), (t, t, z / 2), m, cls)

    def table_(self, a, L, D, z, n, laptop=False):
        if not a:
            return None
        p, R = a
        m = self.mt(
            "wood" if self.r.random() < 0.8 else "flat",
            self.woodc() if self.r.random() < 0.7 else self.grey(0.2, 1),
            spec=self.r.choice([0, 0.2, 0.5]),
        )
        self.b(p, R, (0, 0, z), (D / 2, L / 2, 0.02), m, TABLE)
        self.legs(p, R, L, D, z, m, TABLE)
        self.scatter(p, R, L, D, z + 0.02, n, laptop)
        return p, R

    def desk(self):
        r = self.r
        L, D, z = r.uniform(1, 1.7), r.uniform(0.55, 0.8), r.uniform(0.7, 0.78)
        a = self.table_(self.place(L, D + 0.5), L, D, z, int(r.integers(1, 7)), r.random() < 0.7)
        if a and r.random() < 0.8:
            self.chair(
                (
                    a[0] + a[1] @ np.array([D / 2 + r.uniform(0.1, 0.4), r.normal(0, 0.2), 0]),
                    a[1] @ rot_z(np.pi + r.normal(0, 0.3)),
                )
            )
        if a and r.random() < 0.4:
            self.b(
                a[0],
                a[1],
                (0, L / 2 - 0.25, z / 2),
                (D / 2 - 0.03, 0.2, z / 2 - 0.03),
                self.mt("wood", self.woodc()),
                TABLE,
            )

    def coffee(self):
        L, D = self.r.uniform(0.7, 1.2), self.r.uniform(0.4, 0.65)
        self.table_(self.place(L, D, free=True), L, D, self.r.uniform(0.35, 0.5), int(self.r.integers(1, 5)))

    def dining(self):
        r = self.r
        L, D = r.uniform(1.1, 1.9), r.uniform(0.7, 1.0)
        a = self.table_(self.place(L + 0.6, D + 0.6, free=True), L, D, 0.75, int(r.integers(2, 8)))
        if a:
            for sx in (-1, 1):
                for k in range(max(1, int(L / 0.7))):
                    if r.random() < 0.85:
                        self.chair(
                            (
                                a[0]
                                + a[1]
                                @ np.array(
                                    [
                                        sx * (D / 2 + r.uniform(0, 0.25)),
                                        (k + 0.5) * 0.7 - max(1, int(L / 0.7)) * 0.35,
                                        0,
                                    ]
                                ),
                                a[1] @ rot_z((np.pi if sx > 0 else 0) + r.normal(0, 0.25)),
                            )
                        )

    def chair(self, a=None):
        r = self.r
        a = a or self.place(0.5, 0.5, free=r.random() < 0.6)
        if not a:
            return
        p, R = a
        m = self.mt(r.choice(["wood", "cloth", "flat"]), self.woodc() if r.random() < 0.5 else self.any(0.7))
        z = r.uniform(0.42, 0.5)
        self.b(p, R, (0, 0, z), (0.21, 0.21, r.choice([0.02, 0.05])), m, CHAIR)
        hb = r.uniform(0.2, 0.34)
        if r.random() < 0.5:
            self.s.taper(p + R @ np.array([-0.2, 0, z + hb]), (0.025, 0.2, hb), (1, 0.9), m, CHAIR, R @ rot_y(-0.08))
        else:
            for y in (-0.18, -0.06, 0.06, 0.18):
                self.b(p, R, (-0.2, y, z + hb), (0.015, 0.02, hb), m, CHAIR)
            self.b(p, R, (-0.2, 0, z + 2 * hb), (0.02, 0.2, 0.04), m, CHAIR)
        if r.random() < 0.25:
            self.s.cyl(p + [0, 0, z / 2], 0.03, z / 2, m, CHAIR)
            for k in range(5):
                Rk = R @ rot_z(k * 1.257)
                self.s.box(p + Rk @ np.array([0.14, 0, 0.05]), (0.14, 0.02, 0.02), m, CHAIR, Rk)
        else:
            self.legs(p, R, 0.46, 0.46, z, m, CHAIR, 0.018)

    def shelf(self):
        r = self.r
        L, D, h = r.uniform(0.6, 1.4), r.uniform(0.25, 0.36), r.uniform(0.9, 2.1)
        a = self.place(L, D)
        if not a:
            return
        p, R = a
        m = self.mt("wood", self.woodc() if r.random() < 0.6 else self.grey(0.5, 1))
        n = max(2, int(h / r.uniform(0.32, 0.45)))
        t = 0.015
        self.b(p, R, (-D / 2 + 0.01, 0, h / 2), (0.01, L / 2, h / 2), m, FURN)
        for sy in (-1, 1):
            self.b(p, R, (0, sy * (L / 2 - t), h / 2), (D / 2, t, h / 2), m, FURN)
        for k in range(n + 1):
            z = 0.05 + (h - 0.06) * k / n
            self.b(p, R, (0, 0, z), (D / 2, L / 2, t), m, FURN)
            if k < n and r.random() < 0.85:
                g = (h - 0.06) / n
                if r.random() < 0.7:
                    w = L * r.uniform(0.25, 0.48)
                    off = r.uniform(-1, 1) * (L / 2 - w - 0.03)
                    self.b(
                        p,
                        R,
                        (-0.02, off, z + t + g * 0.38),
                        (D / 2 * 0.7, w, g * 0.38),
                        self.mt("books", self.grey(0.7, 1.1, 0.05), fit=1),
                        BOOK,
                    )
                else:
                    self.scatter(p, R, L * 0.9, D * 0.5, z + t, int(r.integers(1, 4)))

    def cabinet(self, tall=False):
        r = self.r
        L, D, h = (
            (r.uniform(0.8, 1.8), r.uniform(0.4, 0.6), r.uniform(0.6, 1.1))
            if not tall
            else (r.uniform(0.8, 2), 0.6, r.uniform(1.8, 2.2))
        )
        a = self.place(L, D)
        if not a:
            return
        p, R = a
        c = self.woodc() if r.random() < 0.6 else self.grey(0.4, 1)
        m = self.mt("wood", c, spec=r.choice([0, 0.15]))
        m2 = self.mt("wood", c * r.uniform(0.8, 1.1))
        self.b(p, R, (0, 0, h / 2), (D / 2, L / 2, h / 2), m, FURN)
        n = int(r.integers(2, 5))
        kn = self.mt("flat", (0.6, 0.55, 0.4), spec=0.5)
        for i in range(n):
            y = (i + 0.5 - n / 2) * L / n
            self.b(p, R, (D / 2 + 0.005, y, h / 2), (0.01, L / n / 2 - 0.012, h / 2 - 0.03), m2, FURN)
            self.s.ell(p + R @ np.array([D / 2 + 0.03, y + 0.3 * L / n, h * 0.6]), (0.02, 0.02, 0.02), kn, FURN, R)
        if not tall:
            self.scatter(p, R, L, D, h, int(r.integers(0, 6)), r.random() < 0.15)

    def wardrobe(self):
        self.cabinet(tall=True)

    def nightstand(self):
        a = self.place(0.45, 0.4)
        if not a:
            return
        p, R = a
        self.b(p, R, (0, 0, 0.25), (0.2, 0.22, 0.25), self.mt("wood", self.woodc()), FURN)
        self.lampshade(p + [0, 0, 0.5], 0.22) if self.r.random() < 0.6 else self.scatter(p, R, 0.4, 0.4, 0.5, 2)

    def lampshade(self, p, h):
        m = self.mt("flat", self.grey(0.2, 0.8))
        self.s.cyl(p + [0, 0, h / 2], 0.02, h / 2, m, OBJ)
        self.s.taper(
            p + [0, 0, h + 0.1],
            (0.15, 0.15, 0.12),
            (0.65, 0.65),
            self.mt("cloth", self.grey(0.7, 1.1), emit=self.r.choice([0, 0.9])),
            OBJ,
        )

    def lamp(self):
        a = self.place(0.4, 0.4)
        if a:
            self.lampshade(a[0], self.r.uniform(1.2, 1.5))
            self.s.cyl(a[0] + [0, 0, 0.02], 0.15, 0.02, self.mt("flat", self.grey(0.1, 0.5)), OBJ)

    def tvset(self):
        r = self.r
        L, D, h = r.uniform(1.0, 1.7), 0.42, r.uniform(0.4, 0.6)
        a = self.place(L, D)
        if not a:
            return
        p, R = a
        self.b(
            p,
            R,
            (0, 0, h / 2),
            (D / 2, L / 2, h / 2),
            self.mt("wood", self.woodc() if r.random() < 0.5 else self.grey(0.05, 0.9)),
            FURN,
        )
        w = r.uniform(0.35, 0.6)
        bl = self.mt("flat", (0.03, 0.03, 0.035), spec=0.4)
        self.b(p, R, (0, 0, h + 0.08 + w * 0.56), (0.025, w, w * 0.56), bl, TV)
        self.b(
            p,
            R,
            (0.027, 0, h + 0.08 + w * 0.56),
            (0.003, w * 0.95, w * 0.52),
            self.mt("screen", self.grey(0.1, 1.0), fit=1, emit=r.choice([0, 0.5]), spec=0.5),
            TV,
        )
        self.b(p, R, (0, 0, h + 0.04), (0.1, w * 0.4, 0.04), bl, TV)


def shadow_point(sc, P, N, L, leaf, cam, sub=2):
    """Shadow of a point light via a perspective depth map looking straight down (wide field of view)."""
    n = 176
    c = Camera(L, np.stack([[1, 0, 0], [0, -1, 0], [0, 0, -1]], 1).astype(F), n * 0.2, n, n)
    Z, _, _ = gbuffer(sc, c, leaf, near=0.12)
    q = (P + 0.03 * N - c.pos) @ c.R
    z = np.maximum(q[..., 2], 1e-3)
    u = q[..., 0] / z * c.f + n / 2
    v = q[..., 1] / z * c.f + n / 2
    out = 0
    for du in (-0.5, 0.5):
        for dv in (-0.5, 0.5):
            i = np.floor(v + dv).astype(int)
            j = np.floor(u + du).astype(int)
            ins = (i >= 0) & (j >= 0) & (i < n) & (j < n) & (q[..., 2] > 0.12)
            out = out + np.where(ins, Z[np.clip(i, 0, n - 1), np.clip(j, 0, n - 1)] > z - 0.05 - 0.02 * z, True) * 0.25
    return out.astype(F)


def make(rng, bank, H, W):
    r = rng
    leaf = bank.imgs[bank.names["foliage_mask"][0]][..., 0]
    for _ in range(6):
        rm = Room(r, bank)
        sc = rm.s.finish()
        X, Y = rm.X, rm.Y
        best = None
        for _ in range(8):  # camera near a corner or wall, looking into the room, with nothing in front of the lens
            p = np.array([r.uniform(0.25, 0.4 * X), r.uniform(0.2, 0.8) * Y, r.uniform(1.0, 1.75)])
            tgt = np.array([X * r.uniform(0.6, 1.0), Y * r.uniform(0.1, 0.9), r.uniform(0.3, 2.0)])
            d = tgt - p
            yaw = np.arctan2(d[1], d[0])
            pit = np.arctan2(d[2], np.hypot(d[0], d[1]))
            cam = Camera(p, look(yaw, pit, r.normal(0, 0.04)), r.uniform(0.78, 0.95) * W, H, W)
            Z, pid, N = gbuffer(sc, cam, leaf, near=0.1)
            ok = np.isfinite(Z).all() and Z.min() > 0.45 and np.percentile(Z, 30) > 0.9
            if ok:
                k = len(np.unique(sc.cls[pid]))
                best = (k, cam, Z, pid, N) if best is None or k > best[0] else best
            if best is not None and best[0] >= 6:
                break
        if best is not None and best[0] >= 4:
            break
    _, cam, Z, pid, N = best
    f = cam.f
    A, S, E = shade(sc, cam, bank, Z, pid, N)
    cls = sc.cls[pid].astype(np.int8)
    P = cam.pos + Z[..., None] * cam.d
    V = -cam.d / np.linalg.norm(cam.d, axis=-1, keepdims=True)
    ao = ssao(Z, f, 0.18)
    warm = np.array([1, r.uniform(0.8, 1.0), r.uniform(0.55, 1.0)])
    img = A * (r.uniform(0.18, 0.5) * (0.75 + 0.25 * N[..., 2:]) * ao[..., None]) * (1 + 0.1 * r.normal(size=3))
    spec = 0
    lights = [
        (np.array([r.uniform(0.25, 0.75) * X, r.uniform(0.25, 0.75) * Y, rm.Hh - 0.25]), warm * r.uniform(1.2, 4), True)
    ]
    if r.random() < 0.4:
        lights.append(
            (
                np.array([r.uniform(0.1, 0.9) * X, r.uniform(0.1, 0.9) * Y, r.uniform(1.2, 2.0)]),
                warm * r.uniform(0.5, 1.5),
                False,
            )
        )
    for p, R in rm.windows:
        lights.append((p + R @ np.array([0.3, 0, 0]), np.array([0.8, 0.9, 1.1]) * r.uniform(0.3, 2.2), False))
    if r.random() < 0.3:
        lights.append((cam.pos + [0, 0, 0.1], np.ones(3) * r.uniform(0.5, 2.5), False))  # flash
    for L, c, sh in lights:
        d = L - P
        dist = np.linalg.norm(d, axis=-1, keepdims=True)
        d = d / dist
        nl = np.clip((N * d).sum(-1, keepdims=True), 0, 1)
        k = nl * c / (1 + 0.6 * dist**2)
        vis = shadow_point(sc, P, N, L.astype(F), leaf, cam)[..., None] if sh else ao[..., None]
        img = img + A * k * vis
        Rf = 2 * (N * V).sum(-1, keepdims=True) * N - V
        spec = spec + (S[..., None] * vis * np.clip((Rf * d).sum(-1, keepdims=True), 0, 1) ** 40 * c * 0.5)
    img = img + spec + A * E[..., None] * r.uniform(0.8, 1.5)
    img = blur3(img.astype(F), r.uniform(0.35, 0.8))
    ex = r.uniform(0.7, 1.15) * 0.6 / np.percentile(img.mean(-1), 75)
    img = np.clip(img * ex * (1 + 0.08 * r.normal(size=3)), 0, None)
    img = img / (1 + 0.2 * img) * 1.1
    img = np.clip(img, 0, 1) ** (1 / 1.9)
    img += r.normal(0, 1, img.shape).astype(F) * r.uniform(0.008, 0.04)
    rgb = (np.clip(img, 0, 1) * 255 + 0.5).astype(np.uint8)
    Nc = N @ cam.R
    Nc = Nc * np.where((Nc * cam.d_cam).sum(-1, keepdims=True) > 0, -1, 1)
    Nc /= np.linalg.norm(Nc, axis=-1, keepdims=True)
    depth = Z.copy()
    holes = r.random((H, W)) < 0.0  # Kinect-like holes: glossy, windows, depth edges
    gz = np.maximum(np.abs(shift(Z, 0, 1) - Z), np.abs(shift(Z, 1, 0) - Z))
    holes |= (gz > 0.25) | ((S > 0.35) & blotches(r, H, W, 0.3)) | ((cls == WIN) & (E > 0.3) & blotches(r, H, W, 0.5))
    depth[holes] = 0
    out = dict(image=rgb, label=cls, depth=depth.astype(F), normal=Nc.astype(F))
    return out
