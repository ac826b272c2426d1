"""The group `evaluate` of params.yaml for tiny data: the paper's distance, nothing averaged."""

from bruna.params import Evaluate

SETTINGS = Evaluate(
    batch_size=4,
    attribute_offset=0.1,
    flip=False,
    rerank=False,
    rerank_k1=5,
    rerank_k2=2,
    rerank_lambda=0.3,
    filter_junk=True,
    junk_threshold=0.5,
    reid_test_length=3,
    attributes_from="task1",
    attribute_neighbors=1,
)
