"""The names of all settings, without the prefix ``RELAY_``: whoever adds one adds it here."""

#: What belongs to one shop or one Klaviyo account: an environment value is no default for these.
OWN = ("WRITE_KEY", "SERVER_KEY", "KLAVIYO_API_KEY", "LIST_ID", "SHOPIFY_SECRET", "SHOPIFY_DOMAIN")
#: What a site may have: in the environment, and in lower case in its table of the file.
SITE = (
    *OWN, "ALLOWED_ORIGINS", "KLAVIYO_URL", "METRIC_SUFFIX", "FORWARD", "HOLD_SECONDS", "CONSENT",
    "PLATFORM", "COOKIE_DOMAIN", "COUNTRY", "EMAIL_PRIMARY", "ANONYMOUS_ID", "CREATE_PROFILES", "UPDATE_PROFILES",
    "PAGE_EVENTS", "PAGE_DETAILS", "METRICS", "EVENTS_ALLOW", "EVENTS_BLOCK", "ORDER_EVENT", "FLATTEN_PROPERTIES",
    "SUBSCRIBE_CHANNELS", "LINK_PROPERTY", "LINK_DAYS", "PROFILE_PARAMETER", "MIN_PRECISION", "IDENTIFIER_LIMITS",
    "BEHAVIOUR",
)  # fmt: skip
#: What the relay has once, for all its sites: in the environment alone.
RELAY = (
    "SECRET_KEYS", "DATABASE_URL", "CONSOLE_PASSWORD", "HOST", "PORT", "TRUSTED_PROXIES", "PATH_PREFIX", "CONFIG",
)  # fmt: skip
#: Of a site's, those that the file may give as true or false.
SWITCHES = (
    "EMAIL_PRIMARY",
    "ANONYMOUS_ID",
    "CREATE_PROFILES",
    "UPDATE_PROFILES",
    "PAGE_DETAILS",
    "FLATTEN_PROPERTIES",
)
#: Of a site's, the lists of names that may be empty, which the word ``none`` says in the environment.
NAME_LISTS = ("METRICS", "EVENTS_ALLOW", "EVENTS_BLOCK")
