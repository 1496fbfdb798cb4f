"""One emitter per operator: how a node of the program becomes nodes of an XNNPACK graph."""

from pocketpress.targets.executorch.emit import elementwise, movement, products, reductions, requantize
from pocketpress.targets.executorch.emit.site import Emitter, Site

EMITTERS: dict[str, Emitter] = {
    **products.EMITTERS,
    **elementwise.EMITTERS,
    **requantize.EMITTERS,
    **movement.EMITTERS,
    **reductions.EMITTERS,
}

__all__ = ["EMITTERS", "Emitter", "Site"]
