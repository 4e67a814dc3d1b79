"""Register: ask for the email, follow its link, and choose a username and a password; or ask the admin."""

from starlette.requests import Request
from starlette.responses import Response

from webapp import i18n, rate_limits
from webapp.accounts import tokens, users
from webapp.accounts.tokens import Claim, Purpose, TokenInvalid, TokenUsed, verify
from webapp.accounts.users import Taken
from webapp.asked_emails import asked_emails
from webapp.audit import events
from webapp.audit.events import Refusal
from webapp.authentication import auth, email_links
from webapp.authentication.email_links import Sent
from webapp.authentication.forms import check_password, check_username
from webapp.database import release
from webapp.i18n import gettext as _
from webapp.names.identities import visible
from webapp.registration import admission, forms, invites, requests, robots
from webapp.registration.admission import Way
from webapp.registration.invites import NotLive
from webapp.registration.requests import AlreadyAsked, Applicant, Paused
from webapp.web import pages
from webapp.web.forms import Form
from webapp.web.limits import too_often


async def register(request: Request) -> Response:
    settings = request.app.state.settings
    form = await Form.of(request, forms.Register, email=email_links.typed_before(request))
    is_paused = await _is_paused(request)
    if form.is_valid:
        _check_mode(request, form, is_paused)
    sent = await send_link(request, form) if form.is_valid else None
    if sent:
        return email_links.check_email(request, sent)
    return _register_page(request, form, is_paused, form.values["seen"] or robots.stamp(settings))


async def finish_registration(request: Request) -> Response:
    """The form behind a registration link: choose a username and a password; and say why, if an admin is to decide."""
    form, settings = await Form.of(request, forms.FinishRegistration), request.app.state.settings
    try:
        claim = await _proved(request, form)
        address, way = str(claim.subject), admission.way(settings, str(claim.subject), claim.about)
        if way is Way.NONE:
            return _closed(request)
        if way is Way.REQUEST and await requests.of(request.state.db, address):
            return pages.redirect(request, request.app.url_path_for("registration_waiting"))
        _check(request, form, address, way)
        invite_id = await _invite_in(request, claim)
        response = await _finished(request, form, address, way, invite_id) if form.is_valid else None
        if response:
            return response
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "register")
    except NotLive:
        await release(request.state.db)
        return email_links.bad(request, TokenUsed(claim), "invite")
    return pages.render(
        request,
        "registration/finish_registration.html",
        part="form",
        form=form,
        email=address,
        token=request.path_params["token"],
        opened=email_links.opened(request, form),
        asks_why=way is Way.REQUEST,
        most_of_why=forms.MOST_OF_WHY,
    )


async def registration_waiting(request: Request) -> Response:
    """What everybody who has asked for an account sees. It doesn't say whose request it is."""
    return pages.render(request, "registration/registration_waiting.html", days=requests.KEPT.days)


async def send_link(request: Request, form: Form[forms.Register], invite: int = 0) -> Sent | None:
    """Emails the link to the address in the form, or says there why not."""
    mark, typed = _asked_id(request, form), visible(form.values["email"])
    if not form.is_valid:
        return None
    return await email_links.send(request, form, "register", form.data.email, typed=typed, asked_id=mark, invite=invite)


def _asked_id(request: Request, form: Form[forms.Register]) -> str:
    """The id of the request for an email, which tells the mailer whether a robot asks; nobody else can tell."""
    settings = request.app.state.settings
    try:
        sign = robots.sign_of(settings, form.data.homepage, form.data.seen)
    except robots.Outdated:
        form.values["seen"] = ""
        form.refuse("", _("This page was open for a long time. Please send it once more."))
        return ""
    if sign:
        events.refused(Refusal.ROBOT, auth.client_info(request), typed=form.data.email, sign=sign)
        return asked_emails.robot_id(settings)
    return asked_emails.new_id()


def _register_page(request: Request, form: Form[forms.Register], is_paused: bool, seen: str) -> Response:
    settings = request.app.state.settings
    return pages.render(
        request,
        "registration/register.html",
        part="panel",
        form=form,
        mode=settings.registration,
        domains=settings.registration_domains,
        is_paused=is_paused,
        seen=seen,
    )


async def _is_paused(request: Request) -> bool:
    """Whether nobody may ask at the moment; the same for everybody."""
    settings = request.app.state.settings
    return settings.registration == "approval" and await requests.is_paused(request.state.db, settings)


def _check_mode(request: Request, form: Form[forms.Register], is_paused: bool) -> None:
    """Refuses those whom the mode doesn't let ask, judging only by what was typed."""
    settings = request.app.state.settings
    if settings.registration == "closed":
        form.refuse("", _("Registration is closed."), 403)
    elif not admission.takes_requests(settings):
        form.refuse("", _("You need an invitation to register here."), 403)
    elif is_paused:
        form.refuse("", _paused())
    elif settings.registration == "domains" and not admission.is_of_domain(settings, form.data.email):
        domains = ", ".join(settings.registration_domains)
        form.refuse("email", _("Only addresses at %(domains)s can register here.") % {"domains": domains})


def _paused() -> str:
    return _("Many people are waiting to be let in, so nobody else can ask right now. Please come back in a few days.")


async def _proved(request: Request, form: Form[forms.FinishRegistration]) -> Claim:
    """What a registration link says. Raises TokenInvalid; a link is used once its address has an account."""
    token = request.path_params["token"]
    claim = verify(request.app.state.settings, Purpose.REGISTER, token, form.values["opened"])
    if await users.has_account(request.state.db, str(claim.subject)):
        raise TokenUsed(claim)
    return claim


async def _invite_in(request: Request, claim: Claim) -> int:
    """The member's invitation that a link came by, 0 if there is none. Raises NotLive, before anything is hashed."""
    invite_id = tokens.invite_in(claim.about)
    if invite_id:
        await invites.find(request.state.db, request.app.state.settings, invite_id)
    return invite_id


def _closed(request: Request) -> Response:
    """The link is good, but the site's mode has changed."""
    form = Form(forms.Register)
    form.status = 403
    return _register_page(request, form, is_paused=False, seen=robots.stamp(request.app.state.settings))


def _check(request: Request, form: Form[forms.FinishRegistration], address: str, way: Way) -> None:
    """Says at once everything that is wrong with the username, the password and the reason."""
    check_username(form, request.app.state.reserved_usernames)
    if request.method != "POST":
        return
    typed = form.values["password"]
    check_password(form, request.app.state.settings, typed, form.values["username"], address)
    if way is Way.REQUEST and not form.values["why"].strip():
        form.refuse("why", _("Please write a line. An admin reads it and decides."))


async def _finished(
    request: Request, form: Form[forms.FinishRegistration], address: str, way: Way, invite_id: int
) -> Response | None:
    """Adds the account, or the request for one, or says in the form why not. Raises TokenInvalid or NotLive."""
    db, state, client = request.state.db, request.app.state, auth.client_info(request)
    of_client_ip = rate_limits.FINISH_REGISTRATION_CLIENT_IP, client.client_ip
    async with state.turns.of(db, "register", address):
        await _proved(request, form)  # of many at once, the first has used the link, and the others cost no hash
        if await too_often(request, form, (rate_limits.FINISH_REGISTRATION, address), of_client_ip):
            return None
        await db.commit()
        try:
            if way is Way.REQUEST:
                return await _asked(request, form, address)
            return await _registered(request, form, address, invite_id)
        except Taken as taken:
            form.refuse("username" if taken.field == "username" else "", str(taken))
            return None


async def _registered(request: Request, form: Form[forms.FinishRegistration], address: str, invite_id: int) -> Response:
    """Adds the account, which takes a place of its invitation, and logs in. Raises Taken or NotLive."""
    db, state, client = request.state.db, request.app.state, auth.client_info(request)
    username, password = form.data.username, form.data.password
    user = await users.register(db, state.hasher, state.settings, username, address, password, i18n.current(), client)
    if invite_id:
        await invites.note_use(db, invite_id, await invites.take(db, state.settings, invite_id), user.id)
    await requests.forget(db, state.settings, address)
    response = pages.redirect(request, "/")
    await auth.log_in(request, response, user, is_remembered=False)
    pages.say(request, response, _("Welcome, %(name)s!") % {"name": user.username})
    await db.commit()
    return response


async def _asked(request: Request, form: Form[forms.FinishRegistration], address: str) -> Response | None:
    """Adds the request that an admin decides. Raises Taken."""
    db, state = request.state.db, request.app.state
    applicant = Applicant(form.data.username, address, form.data.why, i18n.current())
    try:
        await requests.ask(db, state.settings, state.hasher, applicant, form.data.password, auth.client_info(request))
    except Paused:
        await release(db)
        form.refuse("", _paused())
        return None
    except AlreadyAsked:
        await release(db)
    await db.commit()
    return pages.redirect(request, request.app.url_path_for("registration_waiting"))
