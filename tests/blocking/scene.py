"""Susan, bob and ann, who have much to do with each other; and every page on which that is seen."""

import re
from collections.abc import Iterator

from httpx2 import Response
from starlette.routing import Route

from tests.people.crowd import arrive, let_follow
from tests.posts.wall import say
from tests.sites import Browser, Site
from tests.test_sweeps import ROUTES
from tests.watching import execute

# What a page is asked for, beside its path, to have something to show.
QUERIES = {"search": "q=heron*", "news": "of=explore&after=0"}
# What stands in paths that are nobody's business here: tokens, numbers of one's own sessions and passkeys.
OF_OTHERS = {"token", "id", "passkey_id", "request_id", "action"}
HERON, SPARROW, OWL = 1, 2, 3  # bob's post, ann's, and susan's
WORD = "heron"


class Scene:
    """Bob and susan know each other, and ann knows both. Bob's posts are about herons, ann's about sparrows."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.susan, self.bob, self.ann = (arrive(site, name) for name in ("susan", "bob", "ann"))
        names = ("susan", "bob", "ann")
        let_follow(site, *((one, other) for one in names for other in names if one != other))
        assert say(self.bob, "A heron, @susan and @ann.") == HERON
        assert say(self.ann, "A sparrow, @bob and @susan.") == SPARROW
        say(self.susan, "An owl, @bob.")
        self.bob.post(f"/posts/{SPARROW}/reply", data={"body": "Another heron, @susan."})
        self.invite("susan", "bob")
        self.invite("bob", "susan")
        self.bob.post("/edit_profile", data={"username": "bob", "about_me": "herons", "is_public": "1"})

    def invite(self, inviter: str, came: str) -> None:
        """Lets it be by somebody's invitation that another came here."""
        browser: Browser = getattr(self, inviter)
        browser.post("/invites", data={"name": "a friend", "places": "1", "days": "7"})
        execute(
            self.site,
            "INSERT INTO invite_use SELECT came.id, max(invite.id), invite.user_id, came.created_at"
            " FROM user_account AS came, invite WHERE came.username = :came",
            came=came,
        )

    def pages(self, browser: Browser) -> Iterator[tuple[str, str, Response]]:
        """Every page of the site, about each of the people and posts: its route's name, about whom, the answer."""
        for route in ROUTES:
            if "GET" in (route.methods or ()) and not is_apart(route):
                for about, path in paths(route).items():
                    yield route.name, about, browser.get(path, follow_redirects=False)


def is_apart(route: Route) -> bool:
    """Whether a route is for a secret or for the development site's own pages."""
    return bool(OF_OTHERS & set(route.param_convertors)) or route.name.startswith(("mailbox", "gallery"))


def paths(route: Route) -> dict[str, str]:
    """To the route's view, by about whom; a post of bob's stands under ann's, and is looked at, too."""
    query = f"?{QUERIES[route.name]}" if route.name in QUERIES else ""
    if not route.param_convertors:
        return {"": route.path + query}
    found = {}
    for about, post_id in (("susan", OWL), ("bob", HERON), ("ann", SPARROW)):
        values = {"username": about, "post_id": post_id}
        found[about] = route.url_path_for(route.name, **{key: values[key] for key in route.param_convertors}) + query
    return found


def shows_bob(answer: Response) -> bool:
    """A way to bob, his name, or a word that only he says. A mention that leads nowhere is only a word of others."""
    text = re.sub(rf"{WORD}(\*|%2A)", "", answer.text + answer.headers.get("location", ""))
    return bool(re.search(rf"/\w+/bob\b|(?<!@)\bbob\b|\b{WORD}s?\b", text))


def without_names(answer: Response) -> tuple[int, str]:
    """What an answer says, but for whose name or number stood in the path, and what differs each time."""
    text = re.sub(r"(?i)nobody|susan|bob\b", "…", answer.text)
    text = re.sub(r'name="form_id" value="[^"]*"|/(posts|user/…)/\d+|[0-9a-f]{16,}', "", text)
    return answer.status_code, text
