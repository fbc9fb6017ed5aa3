"""The review page: one HTML file to read a run's transcripts in, listen to them and correct them.

Comes in: outcomes with their transcripts, and how a transcript is spelled as JSON, which is passed in. Goes out: a page
that needs nothing but itself and the recordings, and asks no network for anything. Leaves: attention (how much a file
needs a listener, and why), page (the file, written as outcomes come), links (where it finds a recording, and how others
link into it); page.html, page.css, page.js, speakers.js (who speaks) and documents.js (Markdown and Word files, made in
the page) are the page's own source.
"""

from whisperbatch.review.attention import Attention, Reason, attention
from whisperbatch.review.links import link_into
from whisperbatch.review.page import PageFile, is_page, shows

__all__ = ["Attention", "PageFile", "Reason", "attention", "is_page", "link_into", "shows"]
