"""The main table: the systems that are compared, with the options that were chosen on the validation split.

`results/reference/tuning.csv` lists the trials so far; few, and one seed each, so a choice here is the best of
those and not a search. What is not named here stands at its default. On sports nothing was searched: LightGCN has
baby's options; SEA has baby's number of layers, a batch and a learning rate that fit two hours of one core,
and as many epochs as there was time for, five after its best.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from seapkg.data import Dataset
from seapkg.data.catalogue import Known
from seapkg.errors import DataNotFound, MissingRun, RequestError, TrainingFault
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, get_or_train, plan

log = logging.getLogger(__name__)

#: The same for every dataset, or those of each dataset by its name.
Seeds = Iterable[int] | Mapping[str, Iterable[int]]

#: The systems of the main table, weakest first: label -> model and what sets it apart.
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "popularity": ("popularity", {}),
    "bpr": ("bpr", {}),
    "vbpr": ("vbpr", {}),
    "lightgcn": ("lightgcn", {}),
    "micro": ("micro", {}),
    "freedom": ("freedom", {}),
    "rearm (clean)": ("rearm", {"formulation": "clean"}),
    "sea (released)": ("sea", {"formulation": "released"}),
    "sea (paper)": ("sea", {"formulation": "paper"}),
}

#: Chosen on valid Recall@20: dataset -> label -> options.
TUNED: dict[str, dict[str, dict[str, Any]]] = {
    "synthetic": {
        "bpr": {"learning_rate": 1e-2, "batch_size": 1024},
        "vbpr": {"learning_rate": 5e-3, "batch_size": 1024},
        "lightgcn": {"learning_rate": 5e-3, "batch_size": 1024},
        "micro": {"learning_rate": 5e-3, "batch_size": 1024},
        "freedom": {"learning_rate": 5e-3, "batch_size": 1024},
        "rearm (clean)": {"learning_rate": 3e-3, "batch_size": 1024},
        "sea (released)": {"learning_rate": 3e-3},
        "sea (paper)": {"learning_rate": 3e-3},
    },
    "baby": {
        "bpr": {"regularisation": 0.1},
        "lightgcn": {"n_layers": 3, "regularisation": 1e-3},
        "sea (released)": {"learning_rate": 5e-4, "batch_size": 8192, "n_layers": 3},
    },
    "sports": {
        "rearm (clean)": {"preset": "sports"},
        "lightgcn": {"n_layers": 3, "regularisation": 1e-3},
        "sea (released)": {
            "learning_rate": 1e-3,
            "batch_size": 16_384,
            "n_layers": 3,
            "max_epochs": 116,
        },
    },
    "clothing": {"rearm (clean)": {"preset": "clothing"}},
    "lfm2k": {
        "vbpr": {"regularisation": 1.0},
        "lightgcn": {"regularisation": 0.1},
        "freedom": {"edge_dropout": 0.2},
        "rearm (clean)": {"learning_rate": 1e-3},
        "sea (released)": {"learning_rate": 3e-3},
        "sea (paper)": {"learning_rate": 3e-3},
    },
}

#: Fig. 3: what is taken away from SEA, the whole of it first.
ABLATION: dict[str, dict[str, Any]] = {
    "SEA": {},
    "w/o Alignment": {"variant": "without_alignment"},
    "w/o Distancing": {"variant": "without_distancing"},
    "w/o All": {"variant": "without_all"},
}

#: Figs. 5 and 6: whose item parts are looked at, label -> a system of the main table and what is changed.
PARTS_OF: dict[str, tuple[str, dict[str, Any]]] = {
    "SEA": ("sea (released)", {}),
    "w/o Alignment": ("sea (released)", ABLATION["w/o Alignment"]),
    "w/o Distancing": ("sea (released)", ABLATION["w/o Distancing"]),
    "MICRO": ("micro", {}),
}

_SEPARATED = {"alignment": "solosim", "distancing": "club"}
#: Table 3: separate learning plugged into another system. FREEDOM has no features in its score unless told to, and then
#: separation could not change a ranking: so what the features alone do there is measured too.
PLUG_IN: dict[str, dict[str, dict[str, Any]]] = {
    "vbpr": {
        "alone": {},
        "+ SEA": _SEPARATED,
        "+ SEA, negative distance": _SEPARATED | {"distancing": "negative_l2"},
    },
    "freedom": {
        "alone": {},
        "+ features in the score": {"content_in_score": True},
        "+ SEA": _SEPARATED,
        "+ SEA, negative distance": _SEPARATED | {"distancing": "negative_l2"},
    },
}

#: Tables 4 and 5: the four ways to align and to distance.
VARIANTS: dict[str, dict[str, Any]] = {f"SEA{letter}": {"variant": letter} for letter in "abcd"}

#: From the released form towards the text, one difference at a time (spec A.12), and CLUB's rate, which goes towards
#: the published code. The last is the text's formulation as a whole: all differences but the reading of Solosim, where
#: the text contradicts itself, and patience, which it leaves open.
PAPER_AND_CODE: dict[str, dict[str, Any]] = {
    "released": {},
    "split after the GNN": {"split": "after_gnn"},
    "learned item graph": {"graph_weights": "learned"},
    "natural logarithm": {"log_base": "e"},
    "CLUB fitted on its own pairs": {"club_pairs": "within", "club_shared": False},
    "CLUB fitted at rate 3e-3": {
        "club_learning_rate": 3e-3
    },  # published: the model's, 3e-3 on lfm2k
    "CLUB not clamped": {"club_clamp": False},
    "CLUB in full": {"club_half": False, "club_average": False, "club_estimate": "exact"},
    "Solosim as positives only": {"alignment": "positives"},
    "patience 30": {"patience": 30},
    "paper": {"formulation": "paper"},
}

#: REARM without each of its parts in turn, the whole of it first.
REARM_PARTS: dict[str, dict[str, Any]] = {
    "REARM": {},
    "w/o contrast": {"contrast_weight": 0.0},
    "w/o decorrelation": {"difference_weight": 0.0},
    "w/o meta-network": {"meta_network": False},
    "w/o attention": {
        "self_dropout": 1.0,
        "cross_dropout": 1.0,
    },  # its residuals and layer norms stay
    "w/o attention and its norms": {"attention": False},
    "w/o user graph": {"n_user_layers": 0},
    "w/o item graph": {"n_item_layers": 0},
    "w/o co-occurrence": {"user_co_weight": 0.0, "item_co_weight": 0.0},
}

#: Where negatives come from; the last knows what is held out.
SAMPLERS: dict[str, dict[str, Any]] = {
    "items seen in training": {},
    "all items": {"negatives": "all_items"},
    "all items, never held-out ones": {"negatives": "never_held_out"},
}

#: Ways to separate, for data whose factors are known; in both formulations, last alignment alone and nothing at all.
SEPARATIONS: dict[str, dict[str, Any]] = {
    f"{formulation}, {name}": {"formulation": formulation} | change
    for formulation in ("released", "paper")
    for name, change in {
        "SEAa": {"variant": "a"},
        "SEAb": {"variant": "b"},
        "SEAc": {"variant": "c"},
        "SEAd": {"variant": "d"},
        "orthogonal": {"distancing": "orthogonal", "distancing_weight": 0.1},
        "alignment alone": {"variant": "without_distancing"},
        "nothing": {"variant": "without_all"},
    }.items()
}


def options(dataset: str, system: str) -> tuple[str, dict[str, Any]]:
    """The model and the chosen options of a system on a dataset. Raises RequestError for an unknown system."""
    if system not in SYSTEMS:
        raise RequestError(
            f"no system {system!r} in the main table; there are {', '.join(SYSTEMS)}"
        )
    model, own = SYSTEMS[system]
    return model, own | TUNED.get(dataset, {}).get(system, {})


def runs(
    data: Dataset | Known | str, systems: Iterable[str], seeds: Seeds, *,
    store: Store | None = None, offline: bool = False, progress: bool = False, **more: Any,
) -> list[Run]:  # fmt: skip
    """The runs of the main table on one dataset; what is missing is trained.

    It is left out with `offline`, where the data is known but not here, and, with a warning, where training fails.

    `more`: options on top of the chosen ones, such as `max_epochs=5`; every system has to have them.
    """
    return _get_or_train(plans(data, systems, seeds, **more), store, offline, progress)


def changed_runs(
    data: Dataset | Known | str, system: str, changes: dict[str, dict[str, Any]], seeds: Seeds, *,
    store: Store | None = None, offline: bool = False, progress: bool = False, **more: Any,
) -> dict[str, list[Run]]:  # fmt: skip
    """The runs of one system of the main table under each change of its options: label -> options, such as `ABLATION`.

    Missing runs and `more` as in `runs`; a change has the last word.
    """
    planned = changed_plans(data, system, changes, seeds, **more)
    return {
        label: _get_or_train(group, store, offline, progress) for label, group in planned.items()
    }


def one_at_a_time(values: dict[str, Iterable[Any]]) -> dict[str, dict[str, Any]]:
    """Changes for `changed_runs`: none first, then each value of each option by itself, "temperature=0.1" and so on."""
    return {"": {}} | {
        f"{option}={value}": {option: value} for option, own in values.items() for value in own
    }


def plans(
    data: Dataset | Known | str, systems: Iterable[str], seeds: Seeds, **more: Any
) -> list[Plan]:
    """What `runs` asks for, finished or not."""
    chosen = [options(_name(data), system) for system in systems]
    return [
        plan(model, data, seed=seed, **(own | more))
        for model, own in chosen
        for seed in _of(seeds, data, model)
    ]


def changed_plans(
    data: Dataset | Known | str,
    system: str,
    changes: dict[str, dict[str, Any]],
    seeds: Seeds,
    **more: Any,
) -> dict[str, list[Plan]]:
    """What `changed_runs` asks for, finished or not."""
    model, chosen = options(_name(data), system)
    return {
        label: [
            plan(model, data, seed=seed, **(chosen | more | change))
            for seed in _of(seeds, data, model)
        ]
        for label, change in changes.items()
    }


def _of(seeds: Seeds, data: Dataset | Known | str, model: str) -> list[int]:
    """The seeds for a dataset; of a model without chance the first stands for all."""
    name = _name(data)
    if isinstance(seeds, Mapping) and name not in seeds:
        raise RequestError(
            f"seeds are given for {', '.join(seeds) or 'no dataset'}, and none for {name}"
        )
    asked = list(seeds[name] if isinstance(seeds, Mapping) else seeds)
    return asked[:1] if model == "popularity" else asked


def _name(data: Dataset | Known | str) -> str:
    return data if isinstance(data, str) else data.name


def _get_or_train(
    planned: list[Plan], store: Store | None, offline: bool, progress: bool
) -> list[Run]:
    found = []
    for one in planned:
        with contextlib.suppress(MissingRun, DataNotFound):
            try:
                found.append(
                    get_or_train(one, store or Store(), offline=offline, progress=progress)
                )
            except TrainingFault as fault:
                log.warning("left out: %s", fault)
    return found
