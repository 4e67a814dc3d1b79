"""The shapes of the forms of the ways back."""

from pydantic import BaseModel


class NotMe(BaseModel):
    end_sessions: str = ""
