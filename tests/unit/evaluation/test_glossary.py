"""Terms of metrics."""

from adloom.evaluation import glossary


def test_a_category_has_its_metrics_term() -> None:
    assert glossary.find_term("accuracy.Bag") == glossary.Term(
        "Accuracy: Bag", "The same metric for one category.", "higher"
    )
    assert glossary.find_term("novel_metric").name == "Novel metric"
