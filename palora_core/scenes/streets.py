"""Street scenes: 7 classes (void −1) and inverse depth, from a seeded grammar of roads, frontages, traffic and weather."""

from __future__ import annotations

import numpy as np

from palora_core.scenes.raycast import (
    Camera,
    Scene,
    ShadowMap,
    blotches,
    blur3,
    gbuffer,
    look,
    rot_x,
    rot_y,
    rot_z,
    shade,
    shift,
    ssao,
)

F = np.float32
FLAT, CONS, OBJ, NAT, SKY, HUM, VEH, VOID = 0, 1, 2, 3, 4, 5, 6, -1
CLASSES = ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]


def hsv(h, s, v):
    i = int(h * 6) % 6
    f = h * 6 - int(h * 6)
    p, q, t = v * (1 - s), v * (1 - f * s), v * (1 - (1 - f) * s)
    return np.array([(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)][i], F)


class Street:
    def __init__(self, rng, bank):
        self.r, self.bank, self.s = rng, bank, Scene()
        r = rng
        self.kap = r.normal(0, 0.004) if r.random() < 0.6 else 0.0
        self.w = r.uniform(3.2, 8.0)
        self.sw = r.uniform(1.5, 4.5)
        self.lane = r.uniform(-0.6, 0.1) * self.w * 0.8
        self.cross = r.uniform(10, 45) if r.random() < 0.45 else 1e6
        self.cw = r.uniform(4, 8)
        self.build()

    def y(self, x):
        return 0.5 * self.kap * x * x

    def yaw(self, x):
        return np.arctan(self.kap * x)

    def at(self, x, s):
        a = self.yaw(x)
        return np.array([x - s * np.sin(a), self.y(x) + s * np.cos(a), 0.0])

    def mt(self, name, color=(1, 1, 1), **k):
        return self.s.material(self.bank.pick(self.r, name), np.clip(color, 0, 1.5), off=self.r.random(2), **k)

    def grey(self, lo=0.2, hi=0.9, sat=0.15):
        return self.r.uniform(lo, hi) * (1 + sat * self.r.normal(size=3))

    def build(self):
        r = self.r
        dense = r.uniform(0.2, 1.0)
        for side in (-1, 1):
            self.frontage(side, dense)
        for side in (-1, 1):
            self.kerb(side)
        self.traffic()
        for _ in range(int(r.poisson(5))):
            side = r.choice([-1, 1])
            x = 3 + 40 * r.random() ** 1.3
            s = side * (self.w + r.uniform(0.2, self.sw)) if r.random() < 0.8 else r.uniform(-self.w, self.w)
            for _ in range(1 + int(r.random() < 0.35) + int(r.random() < 0.15)):
                self.person(self.at(x + r.normal(0, 0.5), s + r.normal(0, 0.4)), r.uniform(0, 2 * np.pi))
        if r.random() < 0.12:
            self.s.box(
                self.at(r.uniform(30, 70), 0) + [0, 0, r.uniform(6, 8)],
                (r.uniform(2, 5), 60, 0.8),
                self.mt("plaster", self.grey(0.4, 0.8)),
                CONS,
            )  # overpass
        # far backdrop so that the horizon is rarely empty
        for _ in range(int(r.integers(0, 9))):
            p = self.at(r.uniform(90, 150), r.uniform(-90, 90))
            h = r.uniform(3, 16)
            if r.random() < 0.5:
                self.s.box(
                    p + [0, 0, h], (8, r.uniform(6, 18), h), self.mt("facade", self.grey(0.4, 1.0), scale=1 / 12), CONS
                )
            else:
                self.s.ell(
                    p + [0, 0, 3],
                    (8, r.uniform(6, 20), r.uniform(4, 10)),
                    self.mt("grass", hsv(r.uniform(0.18, 0.38), r.uniform(0.2, 0.6), r.uniform(0.3, 0.8))),
                    NAT,
                )
        self.ground()
        if r.random() < 0.5:  # ego bonnet, void
            self.hood = True
        else:
            self.hood = False

    def ground(self):
        self.s.box((60, 0, -0.5), (400, 400, 0.5), self.s.material(0, (1, 1, 1)), FLAT)
        self.gid = len(self.s.kind) - 1

    def frontage(self, side, dense):
        r = self.r
        x = r.uniform(-12, -4)
        setback = self.w + self.sw
        while x < 95:
            L = r.uniform(7, 22)
            mid = x + L / 2
            if abs(mid - self.cross) < self.cw + L / 2:
                x += L
                continue
            u = r.random()
            back = setback + (0 if r.random() < 0.6 else r.uniform(0.5, 6))
            p = self.at(mid, side * back)
            R = rot_z(self.yaw(mid))
            if u < 0.25 + 0.6 * dense:
                D = r.uniform(4, 8)
                h = r.uniform(2.2, 5) if r.random() < 0.25 else r.uniform(4, 13)
                c = p + R @ np.array([0, side * D, 0])
                col = self.grey(0.5, 1.1, 0.07)
                name = "facade" if r.random() < 0.8 else ("brick" if r.random() < 0.5 else "plaster")
                if name == "brick":
                    col = col * np.array([1.0, 0.7, 0.6])
                self.s.box(
                    c + [0, 0, h],
                    (L / 2, D, h),
                    self.mt(
                        name,
                        col,
                        scale=1 / r.uniform(9, 15) if name == "facade" else 0.4,
                        spec=0.1 if name == "facade" else 0,
                    ),
                    CONS,
                    R,
                )
                if r.random() < 0.5:
                    self.s.box(
                        c + R @ np.array([0, -side * (D + 0.03), 0]) + [0, 0, 1.7],
                        (L / 2 * 0.97, 0.05, 1.7),
                        self.mt("shop", self.grey(0.7, 1.1), scale=1 / 7, spec=0.2),
                        CONS,
                        R,
                    )
                if r.random() < 0.5:
                    self.s.taper(
                        c + [0, 0, 2 * h + 1.2],
                        (L / 2 * 1.02, D * 1.05, 1.2),
                        (0.9, 0.05),
                        self.mt("brick", hsv(r.uniform(0, 0.1), r.uniform(0.1, 0.6), r.uniform(0.3, 0.8)), scale=0.3),
                        CONS,
                        R,
                    )
                for _ in range(int(r.integers(0, 5)) if r.random() < 0.4 else 0):  # balconies, awnings
                    q = (
                        c
                        + R @ np.array([r.uniform(-0.8, 0.8) * L / 2, -side * (D + 0.5), 0])
                        + [0, 0, r.uniform(2.6, max(2 * h - 1, 3))]
                    )
                    self.s.box(
                        q,
                        (r.uniform(0.8, 2), 0.5, r.uniform(0.08, 0.5)),
                        self.mt("stripes" if r.random() < 0.4 else "plaster", self.grey(0.3, 1, 0.3), scale=0.5),
                        CONS,
                        R,
                    )
            elif u < 0.88:
                k = r.random()
                if k < 0.35:
                    self.s.box(
                        p + [0, 0, 0.9],
                        (L / 2, 0.15, r.uniform(0.5, 1.3)),
                        self.mt(r.choice(["brick", "plaster", "wood"]), self.grey(0.4, 0.9), scale=0.4),
                        CONS,
                        R,
                    )  # wall
                elif k < 0.6:
                    self.s.box(
                        p + [0, 0, 0.7], (L / 2, 0.03, 0.7), self.mt("flat", self.grey(0.1, 0.7)), CONS, R, hole=0.5
                    )  # fence
                else:
                    self.s.box(
                        p + [0, 0, 0.8],
                        (L / 2, 0.6, r.uniform(0.6, 1.2)),
                        self.mt(
                            "grass", hsv(r.uniform(0.2, 0.36), r.uniform(0.3, 0.7), r.uniform(0.3, 0.8)), scale=0.7
                        ),
                        NAT,
                        R,
                    )  # hedge
                for _ in range(int(r.integers(0, 5))):
                    self.tree(self.at(mid + r.uniform(-0.5, 0.5) * L, side * (back + r.uniform(1, 9))))
            x += L + (r.uniform(0, 3) if r.random() < 0.3 else 0)

    def tree(self, p):
        r = self.r
        h = r.uniform(1.6, 3.5)
        rad = r.uniform(0.9, 2.4)
        col = (
            hsv(r.uniform(0.14, 0.38), r.uniform(0.2, 0.75), r.uniform(0.35, 1.0))
            if r.random() < 0.9
            else hsv(r.uniform(0.02, 0.14), 0.6, 0.8)
        )
        self.s.cyl(
            p + [0, 0, h / 2], r.uniform(0.09, 0.25), h / 2 + 0.3, self.mt("wood", (0.45, 0.36, 0.3), scale=0.8), NAT
        )
        m = self.mt("grass", col * 1.3, scale=0.5)
        for _ in range(int(r.integers(3, 6))):
            q = p + [r.normal(0, 0.5) * rad, r.normal(0, 0.5) * rad, h + rad * r.uniform(0.2, 1.3)]
            self.s.ell(q, rad * r.uniform(0.55, 1.0, 3), m, NAT, hole=r.uniform(0.3, 0.5))

    def kerb(self, side):
        r = self.r
        x = r.uniform(2, 8)
        gap = r.uniform(6, 22)
        kind = r.choice(["tree", "lamp", "mix", "none"], p=[0.25, 0.25, 0.35, 0.15])
        while x < 70:
            p = self.at(x, side * (self.w + r.uniform(0.3, 0.8)))
            if abs(x - self.cross) > self.cw and kind != "none":
                if kind == "tree" or (kind == "mix" and r.random() < 0.4):
                    self.tree(p)
                else:
                    self.lamp(p, side, self.yaw(x))
            x += gap * r.uniform(0.7, 1.3)
        for _ in range(int(r.poisson(2.5))):
            self.sign(self.at(r.uniform(4, 45), side * (self.w + r.uniform(0.2, 1.2))))
        for _ in range(int(r.poisson(1.2))):  # bins, boxes: void as in CityScapes
            h = r.uniform(0.4, 0.9)
            p = self.at(r.uniform(5, 40), side * (self.w + r.uniform(0.3, self.sw)))
            if r.random() < 0.5:
                self.s.box(
                    p + [0, 0, h],
                    (r.uniform(0.2, 0.6), r.uniform(0.2, 0.4), h),
                    self.mt("plaster", self.grey(0.2, 0.8, 0.4)),
                    VOID,
                    rot_z(r.uniform(0, 3)),
                )
            else:
                self.s.cyl(p + [0, 0, h], r.uniform(0.2, 0.35), h, self.mt("flat", self.grey(0.2, 0.8, 0.4)), VOID)
        if r.random() < 0.3:
            x0 = r.uniform(4, 20)
            for i in range(int(r.integers(3, 10))):
                self.s.cyl(
                    self.at(x0 + 1.6 * i, side * (self.w + 0.25)) + [0, 0, 0.45],
                    0.06,
                    0.45,
                    self.mt("flat", self.grey(0.2, 0.8)),
                    OBJ,
                )

    def lamp(self, p, side, yaw):
        r = self.r
        h = r.uniform(4, 8)
        m = self.mt("flat", self.grey(0.15, 0.6), spec=0.1)
        self.s.cyl(p + [0, 0, h / 2], r.uniform(0.06, 0.12), h / 2, m, OBJ)
        if r.random() < 0.8:
            L = r.uniform(0.5, 1.6)
            R = rot_z(yaw)
            self.s.cyl(p + R @ np.array([0, -side * L, 0]) + [0, 0, h], 0.05, L, m, OBJ, R @ rot_x(np.pi / 2))
            self.s.box(p + R @ np.array([0, -side * 2 * L, 0]) + [0, 0, h - 0.05], (0.12, 0.35, 0.07), m, OBJ, R)
        if r.random() < 0.3:
            self.light(p + [-0.15, 0, r.uniform(2.3, 3.2)])

    def light(self, q):
        r = self.r
        k = int(r.integers(3))
        self.s.box(q, (0.12, 0.17, 0.45), self.mt("flat", (0.05, 0.06, 0.05)), OBJ)
        for i, c in enumerate([(0.1, 1, 0.3), (1, 0.8, 0.1), (1, 0.1, 0.1)]):
            self.s.cyl(
                q + [-0.13, 0, (i - 1) * 0.28],
                0.1,
                0.02,
                self.mt("flat", np.array(c) * (1 if i == k else 0.15), emit=1.2 if i == k else 0),
                OBJ,
                rot_y(np.pi / 2),
            )

    def sign(self, p):
        r = self.r
        h = r.uniform(1.8, 3.2)
        self.s.cyl(p + [0, 0, h / 2], 0.035, h / 2, self.mt("flat", self.grey(0.4, 0.8, 0.03)), OBJ)
        R = rot_z(r.normal(0, 0.4))
        q = p + [-0.06, 0, h]
        if r.random() < 0.3:
            self.light(q)
        elif r.random() < 0.5:
            self.s.cyl(q, r.uniform(0.22, 0.4), 0.02, self.mt("sign", (1, 1, 1), fit=1), OBJ, R @ rot_y(np.pi / 2))
        else:
            self.s.box(q, (0.02, r.uniform(0.25, 0.7), r.uniform(0.2, 0.5)), self.mt("sign", (1, 1, 1), fit=1), OBJ, R)

    def traffic(self):
        r = self.r
        for side in (-1, 1):
            if r.random() < 0.7 and self.w > 4.2:  # parked row
                x = r.uniform(3, 9)
                pr = r.uniform(0.4, 0.95)
                while x < 65:
                    if r.random() < pr and abs(x - self.cross) > self.cw + 3:
                        self.vehicle(
                            self.at(x, side * (self.w - 1.15 + r.normal(0, 0.1))),
                            self.yaw(x) + r.normal(0, 0.03),
                            parked=True,
                        )
                    x += r.uniform(5.2, 7.5)
        for _ in range(int(r.poisson(2.6))):
            x = 7 + 50 * r.random() ** 1.2
            s = r.uniform(-0.75, 0.75) * (self.w - 2)
            self.vehicle(self.at(x, s), self.yaw(x) + (np.pi if s > 0 else 0) + r.normal(0, 0.06))
        if self.cross < 1e5:
            for _ in range(int(r.poisson(1.2))):
                self.vehicle(
                    self.at(self.cross + r.uniform(-2, 2), r.uniform(-22, 22)),
                    self.yaw(self.cross) + r.choice([-1, 1]) * np.pi / 2,
                )
        for _ in range(int(r.poisson(0.9))):
            x = r.uniform(5, 30)
            self.bike(self.at(x, r.uniform(-1, 1) * self.w), self.yaw(x) + r.normal(0, 0.3), r.random() < 0.7)

    def wheels(self, p, R, L, Wd, rad, n=2):
        m = self.mt("flat", (0.06, 0.06, 0.06))
        hub = self.mt("flat", self.grey(0.3, 0.8, 0.02), spec=0.3)
        for a in np.linspace(-0.62, 0.62, n):
            for sy in (-1, 1):
                q = p + R @ np.array([a * L, sy * (Wd - 0.08), rad])
                self.s.cyl(q, rad, 0.11, m, VEH, R @ rot_x(np.pi / 2))
                self.s.cyl(q + R @ np.array([0, sy * 0.01, 0]), rad * 0.55, 0.115, hub, VEH, R @ rot_x(np.pi / 2))

    def vehicle(self, p, yaw, parked=False):
        r = self.r
        if np.hypot(p[0], p[1] - self.lane) < 6.5:
            return
        R = rot_z(yaw)
        u = r.random()
        cols = (
            self.grey(0.03, 0.95, 0.03)
            if r.random() < 0.7
            else hsv(r.random(), r.uniform(0.5, 0.95), r.uniform(0.25, 0.9))
        )
        paint = self.mt("flat", cols, spec=0.55)
        glass = self.mt("flat", self.grey(0.04, 0.18, 0.1), spec=0.8)
        red = self.mt("flat", (0.75, 0.05, 0.05), emit=0.25 if r.random() < 0.5 else 0)
        white = self.mt("flat", (1, 1, 0.92), emit=0.6 if r.random() < 0.3 else 0.1)
        if u < (0.78 if not parked else 0.9):
            L, Wd = r.uniform(1.8, 2.4), r.uniform(0.8, 0.95)
            z0 = r.uniform(0.2, 0.3)
            hb = r.uniform(0.28, 0.38)
            est = r.random() < 0.45
            self.s.taper(p + [0, 0, z0 + hb], (L, Wd, hb), (0.97, 0.93), paint, VEH, R)
            hc = r.uniform(0.26, 0.36)
            lc = L * (r.uniform(0.62, 0.74) if est else r.uniform(0.5, 0.6))
            off = -L * (0.24 if est else 0.1)
            q = p + R @ np.array([off, 0, 0]) + [0, 0, z0 + 2 * hb + hc]
            self.s.taper(
                q, (lc, Wd * 0.9, hc), (0.62 if not est else 0.75, 0.8), glass, VEH, R, shift=-0.1 * L * (not est)
            )
            self.s.box(q + R @ np.array([-0.1 * L * (not est), 0, hc]), (lc * 0.62, Wd * 0.74, 0.03), paint, VEH, R)
            for sx, m in ((1, white), (-1, red)):
                for sy in (-1, 1):
                    self.s.box(
                        p + R @ np.array([sx * (L * 0.985), sy * Wd * 0.72, z0 + hb * 1.25]),
                        (0.05, 0.16, 0.08),
                        m,
                        VEH,
                        R,
                    )
                self.s.box(
                    p + R @ np.array([sx * L, 0, z0 + hb * 0.75]),
                    (0.03, 0.26, 0.06),
                    self.mt("flat", (0.85, 0.85, 0.8)),
                    VEH,
                    R,
                )
            self.wheels(p, R, L, Wd, r.uniform(0.29, 0.36))
        else:
            bus = r.random() < 0.35
            L, Wd, h = (
                (r.uniform(4.5, 6), 1.25, r.uniform(1.3, 1.5))
                if bus
                else (r.uniform(2.4, 3.8), r.uniform(0.95, 1.15), r.uniform(0.9, 1.35))
            )
            self.s.box(
                p + [0, 0, 0.35 + h],
                (L, Wd, h),
                self.mt(
                    "plaster", np.clip(cols + 0.25, 0, 1) if r.random() < 0.6 else hsv(r.random(), 0.6, 0.8), spec=0.25
                ),
                VEH,
                R,
            )
            self.s.box(p + [0, 0, 0.35 + h * 1.35], (L * (1.005 if bus else 0.3), Wd * 1.01, h * 0.32), glass, VEH, R)
            self.s.box(
                p + R @ np.array([L * 0.9, 0, 0]) + [0, 0, 0.35 + h * 1.3],
                (L * 0.11, Wd * 0.92, h * 0.4),
                glass,
                VEH,
                R,
            )
            for sy in (-1, 1):
                self.s.box(p + R @ np.array([-L, sy * Wd * 0.85, 0.8]), (0.03, 0.1, 0.16), red, VEH, R)
                self.s.box(p + R @ np.array([L, sy * Wd * 0.75, 0.75]), (0.03, 0.15, 0.1), white, VEH, R)
            if r.random() < 0.4:
                self.s.box(
                    p + [0, 0, 0.35 + h], (L * 0.6, Wd * 1.012, h * 0.5), self.mt("picture", (1, 1, 1), fit=1), VEH, R
                )
            self.wheels(p, R, L, Wd, r.uniform(0.38, 0.5))

    def bike(self, p, yaw, rider):
        r = self.r
        R = rot_z(yaw)
        m = self.mt("flat", (0.05, 0.05, 0.05))
        fr = self.mt("flat", hsv(r.random(), 0.7, r.uniform(0.2, 0.9)), spec=0.2)
        moto = r.random() < 0.3
        rad = 0.3 if moto else 0.34
        if np.hypot(p[0], p[1] - self.lane) < 4:
            return
        for a in (-0.55, 0.55):
            self.s.cyl(p + R @ np.array([a, 0, rad]), rad, 0.05 if moto else 0.018, m, VEH, R @ rot_x(np.pi / 2))
        self.s.box(p + R @ np.array([0, 0, 0.62]), (0.5, 0.1 if moto else 0.025, 0.16 if moto else 0.04), fr, VEH, R)
        self.s.box(p + R @ np.array([0.42, 0, 0.95]), (0.03, 0.28, 0.03), fr, VEH, R)
        self.s.box(p + R @ np.array([0.45, 0, 0.68]), (0.03, 0.03, 0.3), fr, VEH, R)
        if rider:
            self.person(p + R @ np.array([-0.12, 0, 0.42]), yaw, 0.95, sit=True)

    def person(self, p, yaw, k=None, sit=False):
        r = self.r
        k = k or r.uniform(0.62, 1.1)
        R = rot_z(yaw)
        sk = self.mt("flat", hsv(0.06, r.uniform(0.3, 0.55), r.uniform(0.25, 0.9)))
        if np.hypot(p[0], p[1] - self.lane) < 2.5:
            return
        c = lambda: (
            self.grey(0.04, 0.7, 0.1) if r.random() < 0.6 else hsv(r.random(), r.uniform(0.3, 0.9), r.uniform(0.2, 0.9))
        )
        tr = self.mt("cloth", c(), scale=0.8)
        sh = self.mt("cloth" if r.random() < 0.8 else "stripes", c(), scale=0.8)
        st = r.uniform(-0.45, 0.45) if not sit else 0.7
        for sy, a in ((-1, st), (1, -st if not sit else st)):
            Rl = R @ rot_y(-a)
            hip = np.array([0, sy * 0.09 * k, 0.86 * k])
            self.s.cyl(p + R @ hip + Rl @ np.array([0, 0, -0.42 * k]), 0.075 * k, 0.42 * k, tr, HUM, Rl)
            Ra = R @ rot_y(a * 0.9) if not sit else R @ rot_y(-1.1)
            sho = np.array([0, sy * 0.23 * k, 1.38 * k])
            self.s.cyl(p + R @ sho + Ra @ np.array([0, 0, -0.3 * k]), 0.05 * k, 0.3 * k, sh, HUM, Ra)
        self.s.ell(p + [0, 0, 1.15 * k], (0.15 * k, 0.23 * k, 0.36 * k), sh, HUM, R)
        self.s.ell(p + R @ np.array([0.02, 0, 1.62 * k]), (0.11 * k, 0.09 * k, 0.13 * k), sk, HUM, R)
        self.s.ell(
            p + R @ np.array([-0.02, 0, 1.66 * k]),
            (0.115 * k, 0.1 * k, 0.115 * k),
            self.mt("fine", self.grey(0.02, 0.5, 0.2)),
            HUM,
            R,
        )
        if r.random() < 0.3:
            self.s.box(p + R @ np.array([-0.22 * k, 0, 1.2 * k]), (0.09, 0.15, 0.2), self.mt("cloth", c()), HUM, R)
        if r.random() < 0.1 and not sit:
            self.s.ell(p + [0, 0, 2.05 * k], (0.45, 0.45, 0.12), self.mt("stripes", c(), scale=1.0), VOID)


def make(rng, bank, H, W):
    r = rng
    st = Street(r, bank)
    sc = st.s.finish()
    f = r.uniform(0.95, 1.2) * W
    cam = Camera(
        (0, st.lane, r.uniform(1.15, 1.9)), look(r.normal(0, 0.07), r.normal(-0.01, 0.025), r.normal(0, 0.012)), f, H, W
    )
    leaf = bank.imgs[bank.names["foliage_mask"][0]][..., 0]
    Z, pid, N = gbuffer(sc, cam, leaf)
    sky = ~np.isfinite(Z)
    Z[Z > 250] = 250.0
    A, S, E = shade(sc, cam, bank, np.where(sky, 0, Z), np.where(sky, -1, pid), N)
    cls = np.where(sky, SKY, sc.cls[np.maximum(pid, 0)]).astype(np.int8)
    g = pid == st.gid
    P = cam.pos + np.where(sky, 0, Z)[..., None] * cam.d
    # ground regions by lateral offset from the centre line
    x, yv = P[..., 0][g], P[..., 1][g]
    s = (yv - st.y(x)) * np.cos(np.arctan(st.kap * x))
    a = np.abs(s)
    z = Z[g]
    tex = lambda n, k: bank.sample(
        bank.pick(r, n), x * k, s * k, np.maximum(np.round(np.log2(np.maximum(z / f * k * bank.n * 2.5, 1e-6))), 0)
    )
    onx = np.abs(x - st.cross) < st.cw
    road = (a < st.w) | onx
    col = np.where(
        road[:, None],
        tex("asphalt", 0.13) * st.grey(0.25, 0.62, 0.03),
        tex("paving", r.uniform(0.12, 0.35)) * st.grey(0.4, 0.95, 0.06),
    )
    far = (a > st.w + st.sw + 0.5) & ~onx
    natural = r.random() < 0.6
    if natural:
        col = np.where(
            far[:, None],
            tex("grass", 0.3) * hsv(r.uniform(0.14, 0.33), r.uniform(0.1, 0.5), r.uniform(0.6, 1.1)) * 1.2,
            col,
        )
    mark = np.zeros_like(s, bool)
    if r.random() < 0.8:
        mark |= (np.abs(s) < 0.07) & ((x / r.uniform(4, 9)) % 1 < r.uniform(0.35, 1.0))
    if r.random() < 0.4:
        mark |= np.abs(a - st.w + 2.3) < 0.06
    if st.cross < 1e5 and r.random() < 0.7:
        mark |= (np.abs(x - st.cross + st.cw + 2) < 1.4) & ((s / 0.5) % 2 < 1) & (a < st.w)
    wear = bank.sample(bank.pick(r, "asphalt"), x * 0.5, s * 0.5, np.zeros(len(x), int))[:, 0]
    col = np.where((mark & road & (wear > 0.55))[:, None], 0.88, col)
    kerb = (np.abs(a - st.w) < 0.13) & ~onx
    col = np.where(kerb[:, None], st.grey(0.3, 0.9, 0.03), col)
    A[g] = col
    cg = np.where(far & natural, NAT, FLAT)
    cls[g] = cg
    # light
    mode = r.choice(["sun", "overcast", "low", "dusk"], p=[0.35, 0.35, 0.18, 0.12])
    el = {
        "sun": r.uniform(0.5, 1.2),
        "overcast": r.uniform(0.6, 1.3),
        "low": r.uniform(0.12, 0.4),
        "dusk": r.uniform(0.1, 0.4),
    }[mode]
    az = r.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(az) * np.cos(el), np.sin(az) * np.cos(el), np.sin(el)])
    I = {"sun": r.uniform(1.1, 1.8), "overcast": r.uniform(0, 0.25), "low": r.uniform(0.8, 1.5), "dusk": 0.05}[mode]
    scol = (
        np.array({"sun": [1, 0.96, 0.9], "overcast": [1, 1, 1], "low": [1, 0.75, 0.5], "dusk": [1, 0.7, 0.5]}[mode]) * I
    )
    acol = np.array(
        {"sun": [0.42, 0.5, 0.62], "overcast": [0.8, 0.82, 0.85], "low": [0.38, 0.42, 0.55], "dusk": [0.28, 0.3, 0.38]}[
            mode
        ]
    ) * r.uniform(0.75, 1.2)
    sm = ShadowMap(sc, sun, (0, -25, 0), (60, 25, 12), (160, 320), leaf) if I > 0.3 else None
    lit = sm.lit(P + 0.04 * N) if sm is not None else 1.0
    nl = np.clip(N @ sun.astype(F), 0, 1) * lit
    ao = ssao(np.where(sky, np.inf, Z), f)
    amb = (0.62 + 0.38 * N[..., 2]) * ao
    V = -cam.d / np.linalg.norm(cam.d, axis=-1, keepdims=True)
    Rf = 2 * (N * V).sum(-1, keepdims=True) * N - V
    horizon = np.array(
        {
            "sun": [0.78, 0.85, 0.95],
            "overcast": [0.82, 0.84, 0.87],
            "low": [0.95, 0.82, 0.65],
            "dusk": [0.55, 0.5, 0.55],
        }[mode]
    ) * r.uniform(0.85, 1.1)
    zen = np.array(
        {"sun": [0.25, 0.45, 0.8], "overcast": [0.66, 0.69, 0.74], "low": [0.4, 0.5, 0.7], "dusk": [0.15, 0.2, 0.35]}[
            mode
        ]
    ) * r.uniform(0.8, 1.1)

    def skycol(d):
        d = d / np.linalg.norm(d, axis=-1, keepdims=True)
        t = np.clip(d[..., 2], 0, 1)[..., None] ** 0.5
        c = horizon * (1 - t) + zen * t
        k = 1 / np.maximum(d[..., 2], 0.03)
        cl = bank.sample(
            bank.names["clouds"][0],
            d[..., 0] * k * 0.12 + off[0],
            d[..., 1] * k * 0.12 + off[1],
            np.zeros(d.shape[:-1], int),
        )[..., :1]
        cl = np.clip((cl - cov) * 3, 0, 1) * np.clip(d[..., 2:] * 6, 0, 1)
        gl = np.clip(d @ sun, 0, 1)[..., None]
        return (
            c * (1 - 0.75 * cl)
            + 0.75 * cl * np.array([0.95, 0.95, 0.97]) * horizon.mean()
            + scol * (gl**64 * 0.4 + gl**6 * 0.12)
        )

    off, cov = r.random(2), r.uniform(0.3, 0.8)
    fres = S[..., None] * (0.12 + 0.88 * (1 - np.clip((N * V).sum(-1, keepdims=True), 0, 1)) ** 4)
    img = (
        A * (amb[..., None] * acol + nl[..., None] * scol)
        + fres * np.where(Rf[..., 2:] > 0.02, skycol(Rf), horizon * 0.25)
        + E[..., None] * A
        + (S * lit)[..., None] * np.clip((Rf @ sun.astype(F)), 0, 1)[..., None] ** 48 * scol
    )
    beta = r.choice([0.0008, 0.003, 0.009, 0.02], p=[0.35, 0.35, 0.2, 0.1])
    fog = np.exp(-beta * np.where(sky, 0, Z))[..., None]
    img = img * fog + horizon * (1 - fog)
    img[sky] = skycol(cam.d[sky])
    depth = np.where(sky, 0, 1 / np.maximum(Z, 1.0)).astype(F)
    valid = ~sky
    if st.hood:
        v, u = np.mgrid[0:H, 0:W]
        hm = (v - H * r.uniform(1.02, 1.1)) ** 2 / (H * 0.16) ** 2 + (u - W / 2) ** 2 / (W * 0.42) ** 2 < 1
        img[hm] = st.grey(0.03, 0.5, 0.02) * (0.5 + 0.5 * np.abs(np.sin(u[hm] / W * 9)))[:, None] + 0.15 * horizon
        cls[hm] = VOID
        valid[hm] = False
        depth[hm] = 0
    # camera
    img = blur3(img.astype(F), r.uniform(0.35, 0.65))
    vg = 1 - r.uniform(0, 0.35) * ((cam.d_cam[..., 0] / 0.55) ** 2 + (cam.d_cam[..., 1] / 0.55) ** 2)[..., None]
    ex = r.uniform(0.75, 1.1) * 0.62 / np.percentile(img.mean(-1), 78)
    img = np.clip(img * ex * vg * (1 + 0.05 * r.normal(size=3)), 0, None)
    img = img / (1 + 0.18 * img) * 1.1
    img = np.clip(img, 0, 1) ** (1 / 1.9)
    img += r.normal(0, 1, img.shape).astype(F) * r.uniform(0.005, 0.03)
    rgb = (np.clip(img, 0, 1) * 255 + 0.5).astype(np.uint8)
    # stereo-like invalid depth on the left of depth edges and on glossy surfaces
    lz = shift(depth, 0, -3)
    valid &= ~((lz - depth) > 0.012)
    valid &= ~((S > 0.5) & blotches(r, H, W, 0.25))
    depth = np.where(valid, depth, 0)
    out = dict(image=rgb, label=cls, depth=depth)
    return out
