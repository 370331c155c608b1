"""Place an outbound call from the shell.

    python make_call.py --to +918000000002 --from +918000000001
    python make_call.py --to +918000000002 --answer-url https://voice.example.com/answer

The call goes through the dialer when one answers at DIALER_URL (default: this machine, port
DIALER_PORT), which keeps a record of it. With --answer-url or --host, or without a dialer, Vobiz
is asked directly with VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN; where the gateway is found is taken from
PUBLIC_URL, else asked of the one that runs on this machine (port HTTP_PORT), so that an ngrok
tunnel need not be copied. Numbers default to FROM_NUMBER and TO_NUMBER. Settings come from the
environment or `.env`. `parley-dialer` does all the rest.

Exit status: 0 dialled, 1 not dialled, 2 something is missing, 3 nobody knows.
"""

from __future__ import annotations

import sys

from services.dialer.cli.make_call import main

if __name__ == "__main__":
    sys.exit(main())
