"""One page of Django: a URL, a view, one query of SQLite, a template.

Law: settings as `django-admin startproject` writes them, without the admin and its static files, and with debugging
off; the database is a file in the directory for temporary files, made by the first process that misses it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

ROWS = 12
FOLDER = Path(tempfile.gettempdir())
DATABASE = FOLDER / "bench.sqlite3"
TEMPLATE = """\
<!doctype html>
<title>{{ title }}</title>
<h1>{{ title }}</h1>
<table>
{% for entry in entries %}<tr><td>{{ entry.id }}</td><td>{{ entry.text }}</td></tr>
{% endfor %}</table>
"""
APPS = ("auth", "contenttypes", "sessions", "messages")
MIDDLEWARE = (
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
)
CONTEXT = (
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
)


def make_database() -> None:
    """The rows, whole or not at all: several workers may begin at once."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        draft = Path(folder, "draft")
        with contextlib.closing(sqlite3.connect(draft)) as connection, connection:
            connection.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, text VARCHAR(100) NOT NULL)")
            rows = ((f"Entry {number} <of {ROWS}>",) for number in range(1, ROWS + 1))
            connection.executemany("INSERT INTO entry (text) VALUES (?)", rows)
        os.replace(draft, DATABASE)


if not DATABASE.exists():
    make_database()

settings.configure(
    SECRET_KEY="not a secret: there is nothing to sign",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[f"django.contrib.{name}" for name in APPS],
    MIDDLEWARE=MIDDLEWARE,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": CONTEXT,
                "loaders": [
                    (
                        "django.template.loaders.cached.Loader",
                        [
                            ("django.template.loaders.locmem.Loader", {"page.html": TEMPLATE}),
                        ],
                    ),
                ],
            },
        }
    ],
)
django.setup()

# Models want the settings first.
from django.db import models  # noqa: E402


class Entry(models.Model):  # type: ignore[misc]
    """One row of the page."""

    text = models.CharField(max_length=100)

    class Meta:
        """Of no app: the table is made above."""

        app_label = "bench"
        db_table = "entry"
        managed = False


def page(request: HttpRequest) -> HttpResponse:
    """All rows, by one query, through the template."""
    return render(request, "page.html", {"title": "Entries", "entries": Entry.objects.order_by("id")})


urlpatterns = [path("", page)]
app = get_wsgi_application()
