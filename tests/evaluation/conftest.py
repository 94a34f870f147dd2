"""The imaginary study that the tests of tables and choices count by hand."""

import pytest

from lib.evaluation import records
from tests import synthetic


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    directory = tmp_path_factory.mktemp("results")
    synthetic.write(directory, seeds=2, problems=8, samples=4, ablations={"reference": 0.4})
    return directory


@pytest.fixture(scope="module")
def results_with_ablations(tmp_path_factory):
    directory = tmp_path_factory.mktemp("results")
    ablations = {"reference": 0.6, "sparse": 0.4, "two": 0.5, "family_stock": 0.4, "sft_16": 0.3}
    synthetic.write(directory, seeds=2, problems=12, samples=4, ablations=ablations)
    return directory


@pytest.fixture(scope="module")
def study(results) -> records.Records:
    return records.load(results)
