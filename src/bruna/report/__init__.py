"""Numbers to pictures: metrics of attributes, figures, rank lists, the report page."""
