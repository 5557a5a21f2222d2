"""What a store holds: find artifacts by params and metrics, get, load and compare them.

``records`` says what is known of one, ``upstreams`` what it was made from; ``listing`` looks at a store, and at what
has changed there; ``index`` keeps what was seen; ``where`` understands conditions; ``columns`` chooses what tells
artifacts apart; ``catalog`` is what users see.
"""

from .catalog import Catalog, NameCount
from .comparison import Comparison
from .records import STATES, Record
from .selection import Selection

__all__ = ["STATES", "Catalog", "Comparison", "NameCount", "Record", "Selection"]
