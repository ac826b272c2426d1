"""What the model card is made of, and what it says in words: uses, misuse, the law, limits.

Every sentence holds of every run, or stands there only where it does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bruna.dataset.dataset_file import DatasetFile
from bruna.errors import counted
from bruna.report.blocks import Settings, Table
from bruna.report.sections import Findings


@dataclass(frozen=True)
class Points:
    """Texts of one weight: a list in Markdown, paragraphs on the page."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Part:
    """A heading of the card and what stands under it; a string is a paragraph.

    Attributes:
        title: the heading.
        blocks: the cells of tables are texts.
        on_page: False for what the page has elsewhere.
    """

    title: str
    blocks: Sequence[str | Points | Table | Settings]
    on_page: bool = True


NOT_FOR = (
    "deciding anything about a person, such as guilt, access, work or credit, by a distance or a predicted attribute;",
    "finding, following or watching people without a legal basis and without their knowledge;",
    "sorting people by sex, age, origin, belief, health or the like, or treating groups of them differently;",
    "saying who somebody is: the models know no names, and compare how people look on two images.",
)
"""What the models must not be used for."""
LAW = (
    "Recognising people by how they look and sorting them by what they look like (biometric identification and "
    "categorisation) are regulated in many places. In the European Union, for example, the AI Act and the General Data "
    "Protection Regulation (GDPR) have rules on them; other places have their own. Whoever uses the models has to find "
    "out beforehand what holds there. This card is no legal advice."
)


_GALLERIES = {"validation": "The validation gallery", "test": "That of the test set"}


def uses(untrained: Sequence[str]) -> str:
    """What the trained models are for.

    Args:
        untrained: the models that are not trained.
    """
    found = []
    if "bruna" not in untrained:
        found.append("ordering images of people by how likely they show the same person, for somebody to look at")
    if "attributes" not in untrained:
        found.append("guessing attributes of how people look")
    return f"They are for research on these tasks: {', and '.join(found)}. A person checks what they find."


def limits(findings: Findings, data: DatasetFile) -> list[str]:
    """Where the figures end.

    Args:
        findings: what the page tells.
        data: the data set's own file.
    """
    found = [
        f"Another place. The figures are of images like those of {data.name}. They do not transfer to another city, "
        "other cameras, other clothes, another season, or images that are cropped in another way. Measure there, with "
        "bruna evaluate.",
        "Another training. The weights are those of one training. Another seed gives other weights and other figures; "
        "no interval covers that.",
        "Two people on an image. A network takes an image for that of one person. Of which person it tells "
        "where there are two was not measured.",
    ]
    if "bruna" not in findings.untrained:
        found += [
            f"A gallery of another size.{_gallery(findings)} The more people a gallery holds, the more of them look "
            "alike: rank-1 and mAP of a small gallery say nothing of a large one.",
            "A distance is no proof. It compares how people look, and so clothes and bags too. Two people who are "
            "dressed alike can be nearer than two images of one person.",
        ]
    if data.attributes and "attributes" not in findings.untrained:
        name = "gender" if "gender" in data.attributes else next(iter(data.attributes))
        found.append(
            "Attributes are guesses at what annotators wrote down when they looked at images. They are no facts about "
            f"a person: “{name}” is what somebody saw."
        )
    return found


def _gallery(findings: Findings) -> str:
    sizes = [(words, findings.measured.get(name, {}).get("gallery")) for name, words in _GALLERIES.items()]
    return "".join(f" {words} has {counted(images, 'images')}." for words, images in sizes if images)
