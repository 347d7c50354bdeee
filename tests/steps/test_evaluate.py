import math
from dataclasses import replace

import numpy as np
import pytest

from steps.configuration import Configuration
from steps.evaluate import evaluate, score
from steps.partition import partition
from steps.preprocess import preprocess
from steps.train.model import build_classifier, with_scaler

PROBABILITIES = np.array([[0.7, 0.3], [0.4, 0.6], [0.8, 0.2]], np.float32)
LABELS = np.array([0, 1, 1])


@pytest.fixture(scope="module")
def wine():
    table = preprocess(Configuration(dataset="wine"))
    parts = partition(table, "60-20-20", "standardization", 0)
    classifier = build_classifier(Configuration(hidden="5"), table)
    return with_scaler(classifier, parts.scaler, table), table, parts


def test_scores_are_those_computed_by_hand():
    scores = score(PROBABILITIES, LABELS)
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.loss == pytest.approx(-(math.log(0.7) + math.log(0.6) + math.log(0.2)) / 3)
    np.testing.assert_array_equal(scores.confusion, [[1, 0], [1, 1]])


def test_a_class_that_no_row_has_keeps_its_place_in_the_confusion_matrix():
    probabilities = np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]], np.float32)
    scores = score(probabilities, np.array([0, 2]))
    np.testing.assert_array_equal(scores.confusion, [[1, 0, 0], [0, 0, 0], [0, 0, 1]])
    assert scores.loss == pytest.approx(-(math.log(0.5) + math.log(0.8)) / 2)


def test_outputs_that_do_not_quite_add_to_one_are_scored_as_shares():
    scores = score(PROBABILITIES * np.array([[1.01], [0.98], [1.02]], np.float32), LABELS)
    assert scores.loss == pytest.approx(score(PROBABILITIES, LABELS).loss, rel=1e-5)


def test_a_certain_and_wrong_answer_costs_much_and_stays_finite():
    loss = score(np.array([[1, 0], [0, 1]], np.float32), np.array([1, 1])).loss
    assert 5 < loss < 100


def test_the_evaluation_scores_the_models_own_answers_on_the_test_rows(wine):
    model, table, parts = wine
    evaluation = evaluate(model, table, parts)
    raw = table.features[parts.test].astype(np.float32)
    told = np.asarray(model(raw)).argmax(axis=1)
    assert evaluation.scores.accuracy == np.mean(told == table.labels[parts.test])
    assert evaluation.scores.confusion.sum() == len(parts.test)
    assert evaluation.parameters == 13 * 5 + 5 + 5 * 3 + 3


def test_only_test_rows_have_a_say_in_the_evaluation(wine):
    model, table, parts = wine
    before = evaluate(model, table, parts).scores
    features = table.features.copy()
    features[np.concatenate([parts.train, parts.validation])] = 0
    assert evaluate(model, replace(table, features=features), parts).scores.loss == before.loss
    features[parts.test] = 0
    assert evaluate(model, replace(table, features=features), parts).scores.loss != before.loss
