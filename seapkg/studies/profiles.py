"""What each profile asks of each notebook: parameters beyond `profile`, by the notebook's name.

smoke: embedded data, minutes on two cores. laptop: sized for one machine. paper: sized as in the papers.
A notebook must declare what is named here in its cell tagged `parameters`; what is not named keeps its own value.
"""

from typing import Any

from seapkg.studies.definitions import SEPARATIONS, SYSTEMS

REAL = {"datasets": ["baby", "sports", "lfm2k"], "seeds": [0, 1, 2], "max_epochs": None}
MAIN = {
    "systems": list(SYSTEMS),
    "compared": [
        "sea (released)",
        "sea (paper)",
        "rearm (clean)",
        "freedom",
        "micro",
        "lightgcn",
        "vbpr",
        "bpr",
    ],
}
MAIN_SEEDS = {"baby": [0, 1, 2], "sports": [0, 1, 2], "lfm2k": [0, 1, 2, 3, 4]}
VALUES = {
    "alignment_weight": [0.03, 0.3, 1.0],
    "distancing_weight": [0.1, 1.0],
    "temperature": [0.05, 0.1, 0.4],
}
FACTORS = {
    "methods": list(SEPARATIONS),
    "swept": ["released, SEAa", "paper, SEAa", "paper, orthogonal", "paper, nothing"],
    "seeds": [0, 1, 2],
    "max_epochs": 60,
}
PAPER = {"datasets": ["baby", "sports"], "seeds": [0, 1, 2, 3, 4]}
BOUNDS = {"n_pairs": 4096, "dimensions": [2, 8, 32, 64]}

PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "smoke": {},
    "laptop": {
        "02_random_angles": {"n_pairs": 100_000},
        "03_information_bounds": BOUNDS,
        "04_main_table": REAL | MAIN | {"seeds": MAIN_SEEDS},
        "05_ablation": REAL | {"datasets": ["baby", "lfm2k"]},
        "06_sensitivity": REAL | {"datasets": ["lfm2k"], "values": VALUES},
        "07_plug_in": REAL | {"datasets": ["lfm2k"]},
        "08_variants_and_cost": REAL | {"datasets": ["lfm2k"], "costs_on": "baby"},
        "09_tsne": REAL | {"datasets": ["baby", "lfm2k"]},
        "10_known_factors": FACTORS,
        "11_paper_and_code": REAL | {"datasets": ["lfm2k"]},
        "12_rearm": REAL | {"datasets": ["lfm2k"], "compared_on": ["baby", "lfm2k"]},
    },
    "paper": {
        "02_random_angles": {"n_pairs": 400_000},
        "03_information_bounds": BOUNDS,
        "04_main_table": REAL | PAPER | MAIN,
        "05_ablation": REAL | PAPER,
        "06_sensitivity": REAL | PAPER | {"values": VALUES},
        "07_plug_in": REAL | PAPER,
        "08_variants_and_cost": REAL | PAPER | {"costs_on": "baby"},
        "09_tsne": REAL | PAPER | {"datasets": ["baby"]},
        "10_known_factors": FACTORS,
        "11_paper_and_code": REAL | PAPER,
        "12_rearm": REAL | PAPER | {"compared_on": PAPER["datasets"]},
    },
}
