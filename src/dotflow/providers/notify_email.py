"""Messages by mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ConfigurationError, DeliveryFailed
from dotflow.core.redact import mask, register
from dotflow.providers._message import Message, Messenger, cut

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

SECURITY = ("starttls", "tls", "none")
PORTS = {"starttls": 587, "tls": 465, "none": 25}
ERROR_MOST = 20_000


class NotifyEmail(Messenger):
    """Send a mail through an SMTP server. A change that is told twice has one ``Message-ID``.

    Args:
        host: The server.
        sender: The address it is from.
        to: One address, or several.
        port: The server's port; by default the usual one for *security*.
        username: Whom to log in as; ``None`` for nobody.
        password: The password, a secret. It is never sent without encryption.
        security: ``starttls``, ``tls`` or ``none``.
        notification_type: The one status to tell; ``None`` for every one.
        show_result: Add the task as JSON.
        timeout: Seconds one exchange with the server may take.
        runs: Also tell how each run ended.
        context: What certificates are trusted; by default those of the system.

    .. versionadded:: 2.0
    """

    result_size = 100_000

    def __init__(
        self,
        host: str,
        sender: str,
        to: str | Sequence[str],
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        *,
        security: str = "starttls",
        notification_type: str | None = None,
        show_result: bool = False,
        timeout: float = 5,
        runs: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(notification_type, show_result, timeout, runs)
        if security not in SECURITY:
            raise ConfigurationError(f"NotifyEmail(security={security!r}) is unknown; use {', '.join(SECURITY)}")
        if (username is None) != (password is None):
            raise ConfigurationError("NotifyEmail needs both username= and password=, or neither")
        if password is not None and security == "none":
            raise ConfigurationError("NotifyEmail(security='none') would send the password in clear; leave it out")
        self.to = [to] if isinstance(to, str) else list(to)
        for address in (sender, *self.to):
            if not isinstance(address, str) or "@" not in address or not address.isprintable():
                raise ConfigurationError(f"NotifyEmail needs mail addresses, got {address!r}")
        if not self.to:
            raise ConfigurationError("NotifyEmail(to=...) needs at least one address")
        if password is not None and len(password) >= 4:
            register([password])
        self.host, self.port, self.sender = host, PORTS[security] if port is None else port, sender
        self.security, self._context = security, context
        self._login = None if username is None or password is None else (username, password)

    def send(self, message: Message) -> Any:
        """Send *message*; a recipient that is refused is a failure."""
        import smtplib
        import ssl
        from email.message import EmailMessage
        from email.utils import formatdate, make_msgid

        mail = EmailMessage()
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail["Subject"] = cut(message.short(), 200)
        domain = self.sender.rpartition("@")[2]
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.event_id}@{domain}>" if message.event_id else make_msgid(domain=domain)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(body_of(message))
        context = self._context or ssl.create_default_context()
        try:
            if self.security == "tls":
                client: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout, context=context)
            else:
                client = smtplib.SMTP(self.host, self.port, timeout=self.timeout)
            with client:
                if self.security == "starttls":
                    client.starttls(context=context)
                if self._login is not None:
                    client.login(*self._login)
                refused = client.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            told = mask(f"{type(error).__name__}: {error}")
            raise DeliveryFailed(f"the mail server {self.host}:{self.port} did not take the mail ({told})") from None
        if refused:
            raise DeliveryFailed(f"the mail server refused {', '.join(refused)}")
        return f"accepted by {self.host}:{self.port} for {', '.join(self.to)}"


def body_of(message: Message) -> str:
    """Return *message* as plain text."""
    lines = [message.short(), *message.lines]
    if message.error is not None:
        lines.append(cut(": ".join(message.error), ERROR_MOST))
    if message.result is not None:
        lines.append(message.result)
    return "\n\n".join(lines) + "\n"
