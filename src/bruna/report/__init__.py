"""Drawing only: data frames and pixels in, figures and the report page out."""
