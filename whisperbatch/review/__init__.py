"""The review page: one HTML file in which to read, hear and correct a run's transcripts.

The page needs only itself and the recordings, and never uses the network. How a transcript is written as JSON is passed
in.

Modules: attention (how much a file needs a listener, and why), page (writes the HTML file as files finish), links (from
the page to a recording, and from other programs into the page). The page's source is page.html, page.css, page.js,
speakers.js (rename, merge and reassign speakers) and documents.js (make Markdown and Word files in the page).
"""

from whisperbatch.review.attention import Attention, Reason, attention
from whisperbatch.review.links import link_into
from whisperbatch.review.page import PageFile, is_page, shows

__all__ = ["Attention", "PageFile", "Reason", "attention", "is_page", "link_into", "shows"]
