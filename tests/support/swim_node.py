"""A node of the membership library in a process of its own: it prints what happens, and its state for each line it is sent.

Imports nothing but the library, so that thirty of them start in seconds.
"""

import asyncio
import json
import os
import random
import sys
from typing import Any

from hyperscale.swim import Event, Identity, InputRefused, MemberSuspected, NodeAddress, Role, Swim, SwimConfig
from hyperscale.swim.seal import Seal
from hyperscale.swim.shell import GroupTasks, SwimShell
from hyperscale.swim.sockets import bind
from hyperscale.swim.tcp import TcpStreams

HOST = "127.0.0.1"


class Speaker:
    """Prints, one JSON object per line."""

    def __init__(self) -> None:
        self._suspected: set[str] = set()

    def happened(self, event: Event) -> None:
        """Print a refusal; remember a suspicion."""
        match event:
            case MemberSuspected(member):
                self._suspected.add(member.identity.node_id)
            case InputRefused(reason, source, detail, _):
                self.say({"refused": reason.value, "source": str(source), "detail": detail})

    def state(self, swim: Swim) -> dict[str, Any]:
        """What the node believes, and what it has refused."""
        members = {member.identity.node_id: member.state.name for member in swim.members()}
        refusals = {reason.value: count for reason, count in swim.counters().refused.items()}
        return {"members": members, "suspected": sorted(self._suspected), "refusals": refusals}

    def failed(self, error: Exception) -> None:
        """Print what the program itself did wrong."""
        self.say({"error": repr(error)})

    def say(self, document: dict[str, Any]) -> None:
        """Print."""
        print(json.dumps(document), flush=True)


def _seal(key: str, who: Identity, incarnation: int) -> Seal | None:
    if not key:
        return None
    from hyperscale.swim.keyring import DatagramSeal, Keyring, SealIdentity

    name = SealIdentity(who.cluster_id, who.environment_id, who.node_id, incarnation)
    return DatagramSeal(Keyring(bytes.fromhex(key)), name, os.urandom)


async def main(options: dict[str, Any]) -> None:
    """Run until there is nobody at the other end of the standard input."""
    config = {"lan": SwimConfig.lan, "local": SwimConfig.local}[options.get("profile", "local")]()
    sockets = await bind(HOST, 0)
    cluster, environment = options.get("cluster", "c"), options.get("environment", "e")
    who = Identity(options["node_id"], Role.GATE, sockets.address, cluster, environment, "dc")
    swim = Swim(
        who, config, random.Random(), SwimShell.now(), incarnation=1, keyring=_seal(options.get("key", ""), who, 1)
    )
    speaker, ended = Speaker(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        shell = SwimShell(
            swim,
            sockets.datagrams,
            TcpStreams(sockets.streams, config.stream_max_bytes, config.stream_timeout_seconds),
            tasks=GroupTasks(group),
            on_event=speaker.happened,
            report=speaker.failed,
        )
        seeds = [NodeAddress(HOST, port) for port in options.get("seeds", ())]
        swim.join(seeds, SwimShell.now())
        await shell.start()
        asyncio.get_running_loop().add_reader(0, lambda: _asked(speaker, swim, ended))
        speaker.say({"port": sockets.address.port})
        await ended.wait()
        await shell.stop(leave=False)


def _asked(speaker: Speaker, swim: Swim, ended: asyncio.Event) -> None:
    if os.read(0, 4096):
        speaker.say(speaker.state(swim))
    else:
        asyncio.get_running_loop().remove_reader(0)
        ended.set()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
