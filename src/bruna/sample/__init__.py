"""The embedded sample: a renderer that draws a small pedestrian data set.

`plan` says who there is and who is seen where; `person` gives each identity its lasting looks; `pose`, `figure`,
`head`, `luggage` and `cloth` draw it on a `canvas`; `scenery`, `shot` and `camera` make an image of it;
`render` writes the folder.
"""

from bruna.sample.plan import plan_attributes, random_generator
from bruna.sample.render import SampleSummary, render_sample

__all__ = ["SampleSummary", "plan_attributes", "random_generator", "render_sample"]
