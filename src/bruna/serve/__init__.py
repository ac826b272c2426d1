"""A small local application that asks an index: a page in the browser, and a JSON API."""
