"""Tables of NYU Depth v2 that the release leaves to other files: the test split and the 894 → 40 → 13 classes.

The split is that of ``splits.mat`` (654 of 1,449, counted from 0); the 40 classes are those of Gupta, Arbelaez and
Malik (CVPR 2013), ``classMapping40.mat``; the 13 those of Couprie et al. (ICLR 2013), ``class13Mapping.mat``. Where
a person gives those files, they are read instead.
"""

from __future__ import annotations

import numpy as np

# 40 → 13, both counted from 1 (``benchmarks.nyuv2`` has their names).
TO_13 = (
    *(12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5),
    *(7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7),
)
# Images of the test split, counted from 0.
_TEST = """
0-1 8 13-17 20 27-42 45-46 55-56 58-62 75-78 83-90 116-118 124-128 130-133 136 152-154 166-168 170-175 179-201
206-211 219-221 249 263 270-272 278-284 295-301 309-311 314-316 324-334 350-351 354-363 383-389 394-396 410-413
429-434 440-447 461-465 468-476 507-512 514-525 530-532 536-538 548-550 554-570 578-582 590-593 602-606 611-612
616-620 632-637 643-644 649-650 655-657 662-663 667-672 675-680 685-689 692-693 696-698 705-712 716-717 723-727
730-733 742-743 758-786 799-803 809-813 820-822 832-845 849-851 856-861 868-870 905-907 916-918 925-927 931-934
944-946 958-961 964-966 969-976 990-994 1000-1003 1009-1011 1020-1022 1031-1033 1037-1038 1047-1048 1051-1052
1056-1057 1074-1083 1087-1095 1097-1103 1105-1108 1116-1118 1122-1130 1134-1135 1143-1157 1161-1166 1169-1170
1173-1175 1178-1183 1191-1195 1200-1211 1215-1219 1225-1229 1232-1234 1246-1249 1253-1264 1274-1279 1284-1294
1296-1298 1301-1307 1313-1314 1328-1331 1334-1339 1346-1348 1352-1355 1363-1364 1367-1368 1383-1390 1393-1400
1406-1413 1420-1423 1429-1432 1440-1448
"""
# Label (counted from 1) of the class that alone makes up each of the classes 1 … 37; 38 and 39 have many.
_OWN = """
21 11 3 157 5 83 19 28 59 88 64 7 80 36 42 89 169 119 122 143 141 4 85 17 172 15 135 123 26 45 331 158 124 24 144
136 55
"""
_OTHER_STRUCTURE = """
8 25 33 38 51 53 57 58 62 65 79 94 104 112 134 153 215 216 223 225 238 241 242 256 295 301 339 342 354 363 372 380
392 408 412 453 456 463 477 497 541 550 553 567 573 582 591 609 612 615 642 645 657 658 659 663 667 668 686 700
702 777 778 782 850 861 868 874
"""
_OTHER_FURNITURE = """
12 43 48 50 87 106 111 161 163 174 183 204 214 219 221 224 236 262 278 291 298 313 343 344 356 359 373 393 401 414
418 419 430 443 444 447 448 457 458 460 462 475 479 485 486 493 494 498 499 509 510 515 521 524 540 549 551 554
556 558 576 580 608 625 703 734 770 772 797 800 803 804 813 814 815 820 829 835 858 863 882 892
"""
LABELS = 894
IMAGES = 1449


def test_images() -> np.ndarray:
    """Indices [654], from 0, of the official test images."""
    spans = [[int(end) for end in span.split("-")] for span in _TEST.split()]
    return np.concatenate([np.arange(span[0], span[-1] + 1) for span in spans])


def to_40() -> np.ndarray:
    """Look-up table [895] from a label of the release (0 for none) to a class 1 … 40 (0 for none)."""
    table = np.full(LABELS + 1, 40, np.int64)
    table[0] = 0
    table[[int(label) for label in _OWN.split()]] = np.arange(1, 38)
    table[[int(label) for label in _OTHER_STRUCTURE.split()]] = 38
    table[[int(label) for label in _OTHER_FURNITURE.split()]] = 39
    return table


def to_13() -> np.ndarray:
    """Look-up table [41] from a class 0 … 40 to a class 0 … 13."""
    return np.array([0, *TO_13])
