"""What every `Upstream` adapter does, whatever library it is made of: subclass `UpstreamContract`, provide `make`.

Real sockets and a server that follows a script: what is promised here is about bytes, closings and moments, and none
of that can be seen through a mock.
"""

from tests.contracts.upstream_addresses import AddressContract
from tests.contracts.upstream_breakage import BreakageContract
from tests.contracts.upstream_flow import FlowContract
from tests.contracts.upstream_pool import PoolContract
from tests.contracts.upstream_replies import ReplyContract
from tests.contracts.upstream_requests import RequestContract
from tests.contracts.upstream_reuse import ReuseContract
from tests.contracts.upstream_status_lines import StatusLineContract
from tests.contracts.upstream_timing import TimingContract
from tests.contracts.upstream_tls import TlsContract
from tests.contracts.upstream_unasked import UnaskedContract
from tests.contracts.upstream_uploads import UploadContract


class UpstreamContract(
    RequestContract,
    ReplyContract,
    BreakageContract,
    FlowContract,
    TimingContract,
    ReuseContract,
    PoolContract,
    TlsContract,
    UploadContract,
    UnaskedContract,
    AddressContract,  # and the ways that it is about
    StatusLineContract,
):
    """The whole contract."""
