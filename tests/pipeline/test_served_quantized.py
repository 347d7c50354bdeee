"""The quantized model of a run, served, tells the classes that the quantize step has scored."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from served_models import ask, wait_for
from sklearn.datasets import load_breast_cancer, load_digits

from pipeline.tracking import EarlierSteps

ROWS_OF_A_QUESTION = 7
"""Of many questions at a time: a number that the rows of a test part are no multiple of."""

INT8 = ("--quantization", "int8", "--inference-window", "0", "--country", "FRA")
SMALL = ("--hidden", "16", "--activation", "relu", "--lr", "0.01", "--target-accuracy", "0.85")


@pytest.fixture
def tumours(tmp_path) -> pd.DataFrame:
    """A file with a column of words and classes of words, and what a user has of it."""
    rows = load_breast_cancer(as_frame=True)
    table = rows.data.astype(np.float32).round(4)
    table["size"] = np.where(table["mean radius"] > 15, "large", "small")
    table["kind"] = np.array(rows.target_names)[rows.target]
    table.to_csv(tmp_path / "tumours.csv", index=False)
    return pd.read_csv(tmp_path / "tumours.csv").drop(columns="kind")


def digits() -> pd.DataFrame:
    return load_digits(as_frame=True).data


def scored(run_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Places of the test rows, and the class that the kept file tells of each as it was scored."""
    from pipeline.shared_steps import preprocessed
    from steps.evaluate import score
    from steps.quantize.litert import LiteRTModel

    run = EarlierSteps(run_id)
    dataset = preprocessed(run.configuration())
    parts = run.partition(len(dataset.labels))
    with run._artifacts("quantize/int8.tflite", "quantize") as file:
        told = LiteRTModel(file.read_bytes()).probabilities(parts.scaled("test", dataset))
    accuracy = score(told, dataset.labels[parts.test]).accuracy
    assert accuracy == run.recorded().metrics["int8/test_accuracy"] > 0.8
    return parts.test, np.array(dataset.class_names)[told.argmax(axis=1)]


def classes(server: str, rows: pd.DataFrame) -> np.ndarray:
    """What the server tells of rows, asked by several users at once."""
    starts = range(0, len(rows), ROWS_OF_A_QUESTION)
    blocks = [
        # MLflow looks for a row called 0.
        rows.iloc[start : start + ROWS_OF_A_QUESTION].reset_index(drop=True)
        for start in starts
    ]
    with ThreadPoolExecutor(8) as users:
        questions = [{"dataframe_split": block.to_dict("split")} for block in blocks]
        answers = users.map(lambda question: ask(server, question), questions)
        return pd.concat(answers).idxmax(axis=1).to_numpy()


def test_the_served_int8_model_tells_raw_rows_the_classes_that_were_scored(
    store, greenest, serve, tumours
):
    assert greenest("run", *INT8, *SMALL)[0] == 0
    options = ("--dataset", "csv:tumours.csv", "--categorical", "auto")
    assert greenest("run", *INT8, *SMALL, *options)[0] == 0
    runs = store.search_runs(["1"], order_by=["start_time"])
    servers = [serve(run.info.run_id, "quantized_model") for run in runs]
    for run, server, table in zip(runs, servers, (digits(), tumours), strict=True):
        wait_for(server)
        places, wanted = scored(run.info.run_id)
        np.testing.assert_array_equal(classes(server, table.iloc[places]), wanted)
