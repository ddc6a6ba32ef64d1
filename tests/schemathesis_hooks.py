"""For `schemathesis`: our files of YAML hold several documents, which it cannot read; to callers they are texts."""

import schemathesis
from schemathesis.core.media_types import YAML_MEDIA_TYPES


@schemathesis.deserializer(*YAML_MEDIA_TYPES)
def text(_context, response):
    """The body as it came."""
    return response.content.decode()
