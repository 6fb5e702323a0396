"""The trainings whose trajectories are recorded: name -> model and options.

Only `record.py` reads this; the options of each case are written beside its numbers, and the test goes by those.
"""

from __future__ import annotations

from typing import Any

import bridge

Case = tuple[str, dict[str, Any]]

#: Three epochs of three batches, at a rate at which three epochs move every metric.
SHORT = {"max_epochs": 3, "batch_size": 4096, "learning_rate": 3e-3}
#: For the many cases of one model: the same code at a fraction of the time.
SMALL_SEA = {"embed_dim": 16, "encoder_width": 32}
SMALL_REARM = {"embed_dim": 16, "user_neighbours": 10}

SEA_OPTIONS: dict[str, dict[str, Any]] = {
    "alignment positives": {"alignment": "positives"},
    "alignment of the batch's items": {"alignment_items": "batch"},
    "distancing orthogonal": {"distancing": "orthogonal"},
    "weights and temperature": {"alignment_weight": 1.0, "distancing_weight": 1.0, "temperature": 0.05},
    "graphs": {"n_layers": 3, "n_item_layers": 2, "n_neighbours": 5, "image_weight": 0.5},
}
#: CLUB as it is in the released form is clamped to near 0 after three epochs; here it is large enough to be seen.
LOUD = {"distancing_weight": 0.3, "club_learning_rate": 1e-2, "club_clamp": False}
#: What the released form decides otherwise, each by itself where it can stand by itself.
SEA_SWITCHES: dict[str, dict[str, Any]] = {
    "loud club": LOUD,
    "loud club, clamped": LOUD | {"club_clamp": True},
    "loud club, not halved": LOUD | {"club_half": False},
    "loud club, not averaged": LOUD | {"club_average": False},
    "loud club, exact": LOUD | {"club_estimate": "exact"},
    "loud club, pairs within": LOUD | {"club_pairs": "within"},
    "loud club, pairs within, one each": LOUD | {"club_pairs": "within", "club_shared": False},
    "b, l2_mean=False": {"variant": "b", "l2_mean": False},
}
OTHERS: dict[str, Case] = {
    "rearm/preset sports": ("rearm", {"preset": "sports"}),
    "rearm/preset clothing": ("rearm", {"preset": "clothing"}),
    "rearm/features not trained": ("rearm", {"train_features": False}),
    "rearm released/w/o attention": ("rearm", {"formulation": "released", "self_dropout": 1.0, "cross_dropout": 1.0}),
    "freedom/content loss": ("freedom", {"content_loss_weight": 1e-3}),
    "freedom/features not trained": ("freedom", {"content_in_score": True, "train_features": False}),
    "micro/features not trained": ("micro", {"train_features": False}),
    # their tables start near 0, and at the usual rate three epochs leave every score there
    **{f"{model}/rate 0.05": (model, {"learning_rate": 0.05}) for model in ("bpr", "lightgcn", "micro", "freedom")},
    "lightgcn/weight decay": ("lightgcn", {"weight_decay": 0.1}),
}
#: Once at full size, as a user would have them: the dearest of all.
FULL: dict[str, Case] = {
    "full size/sea paper": ("sea", {"formulation": "paper", "max_epochs": 3, "batch_size": 4096}),
    "full size/sea released": ("sea", {"formulation": "released", "max_epochs": 3, "batch_size": 4096}),
    "full size/rearm clean": ("rearm", {"formulation": "clean", "max_epochs": 3, "batch_size": 4096}),
    "full size/rearm released": ("rearm", {"formulation": "released", "max_epochs": 3, "batch_size": 4096}),
}


def cases() -> dict[str, Case]:
    studies, forms = bridge.studies(), ("paper", "released")
    found: dict[str, Case] = {f"{model}/default": (model, {}) for model in bridge.models()}
    for form in forms:
        changes = {"default": {}} | studies["variants"] | studies["ablation"] | SEA_OPTIONS
        found |= {f"sea {form}/{name}": ("sea", {"formulation": form} | change) for name, change in changes.items()}
    found["sea paper/loud club"] = ("sea", LOUD)
    released = {"formulation": "released"}
    changes = studies["paper_and_code"] | SEA_SWITCHES
    found |= {f"sea released/{name}": ("sea", released | change) for name, change in changes.items()}
    found |= {f"separations/{name}": ("sea", change) for name, change in studies["separations"].items()}
    found |= {f"rearm/{name}": ("rearm", change) for name, change in studies["rearm_parts"].items()}
    found |= {"rearm released/default": ("rearm", {"formulation": "released"})}
    for model in ("vbpr", "freedom"):
        changes = studies[f"plug_in {model}"]
        found |= {f"{model}/{name}": (model, change) for name, change in changes.items()}
    for model in ("bpr", "sea", "rearm"):
        found |= {f"samplers {model}/{name}": (model, change) for name, change in studies["samplers"].items()}
    found |= OTHERS
    return _without_twins({name: _shortened(case) for name, case in found.items()}) | FULL


def _shortened(case: Case) -> Case:
    model, options = case
    small = {"sea": SMALL_SEA, "rearm": SMALL_REARM}.get(model, {})
    return model, SHORT | small | options


def _without_twins(named: dict[str, Case]) -> dict[str, Case]:
    """The first name of each case; another name for the same options tells nothing more."""
    first: dict[str, str] = {}
    for name, case in named.items():
        first.setdefault(bridge.resolved(*case), name)
    return {name: named[name] for name in first.values()}
