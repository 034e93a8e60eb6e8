"""Models of one's own: a user's file imports :class:`OwnModel` from here."""

from maas_export.own.model import OwnModel

__all__ = ["OwnModel"]
