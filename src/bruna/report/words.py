"""The words of the field that the page uses, each in a sentence or two, folded at the head of a section."""

from bruna.report.blocks import Folded

_MEANINGS = {
    "query, gallery": "An image that is asked for, and the images that are searched. All images of the gallery are "
    "ordered by how near they are to the query.",
    "AP, mAP": "Average precision: 100% if all images of the query’s person come before all others. Its mean over the "
    "queries is the mAP.",
    "rank-1, rank-5, CMC": "The share of queries with a right image in first place, or among the first five. The CMC "
    "curve has it for every number of places.",
    "mINP": "How soon the last right image comes. For each query: its right images, divided by the place of the last "
    "one; then the mean over the queries.",
    "Market-1501 protocol": "Images of the query’s person by the query’s own camera are left out, as in most "
    "publications.",
    "course protocol": "The whole gallery counts, as in the course for which the project was made.",
    "Bruna, Task 1, U-Net": "The networks. Bruna turns an image into features, which are compared; Task 1 predicts "
    "attributes; the U-Net finds the mask, the part of an image that is the person.",
    "attribute factor": "The distance of two images grows where their predicted attributes differ.",
    "junk, distractor": "Junk is an image that shows no person, or too little of one. A distractor shows somebody whom "
    "no query asks for.",
    "false match rate (FMR)": "The share of pairs of two people that are wrongly taken for one.",
    "false non-match rate (FNMR)": "The share of pairs of one person that are wrongly taken for two.",
    "equal error rate (EER)": "Where both rates are the same, by moving the threshold.",
    "genuine pair": "Two images of one person.",
    "ROC": "The curve of how many genuine pairs are accepted, against the false match rate.",
    "logistic, isotonic": "Two ways to turn a distance into a probability: an S-shaped curve, or steps. The one with "
    "the smaller log loss is used.",
    "log loss": "How far probabilities are from what is true, being sure and wrong weighing most. 0 is perfect.",
    "calibration error (ECE)": "How far probabilities are from the shares that they promise, on average: of pairs with "
    "70%, 70% should show one person.",
    "accuracy": "The share of images with the right value. Where nearly everybody has one value, always predicting it "
    "is hard to beat.",
    "balanced accuracy": "The accuracy of each value alone, then the mean: a rare value counts as much as a common "
    "one. Who always predicts the same of two values has 50%.",
    "precision": "Of the images with a predicted value, the share that truly has it.",
    "operating point": "How much a network leans to rare values. More balanced accuracy costs accuracy.",
    "Table 1 of the paper": "The published description of the method has these figures in its first table.",
    "loss": "The number that a training makes small.",
    "triplet loss": "It pulls the images of a person together, and pushes those of others (negatives) away.",
    "IoU, Dice": "How far a predicted mask and the true one overlap. IoU: the area that both have, divided by the area "
    "that either has. Dice: twice the area of both, divided by the sum of their areas.",
    "adversary": "A second network. It chooses the images that Bruna still mixes up, and Bruna learns from these.",
    "margin": "How much nearer an image of the same person has to be than one of another. It grows in training.",
}


def words(*names: str) -> Folded:
    """What some words mean, in the order given.

    Args:
        names: keys of the list above.
    """
    return Folded("What the words mean", [f"{_start(name)}: {_MEANINGS[name]}" for name in names])


def _start(name: str) -> str:
    return name if name[1:2].isupper() else name[:1].upper() + name[1:]
