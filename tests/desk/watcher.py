"""A colleague with slixmpp, which knows nothing of the service: does what it is told on its standard input, a line each, and prints what comes.

Usage: watcher.py JID PASSWORD PORT CA_FILE. Lines: "subscribe JID", "unsubscribe JID", "say JID TEXT", "commands JID".
"""

import asyncio
import sys

import slixmpp

JID, PASSWORD, PORT, CA_FILE = sys.argv[1:]


class Watcher(slixmpp.ClientXMPP):
    def __init__(self):
        super().__init__(JID, PASSWORD)
        self.ca_certs = CA_FILE
        self.auto_subscribe = False
        self.auto_authorize = None
        for plugin in ("xep_0030", "xep_0050"):
            self.register_plugin(plugin)
        # slixmpp takes a show for a type.
        for kind in ("available", "away", "dnd", "xa", "unavailable", "subscribed", "unsubscribed"):
            self.add_event_handler("presence_" + kind, self.presence)
        self.add_event_handler("message", self.message)

    def presence(self, presence):
        if presence["from"].bare != self.boundjid.bare:
            print("presence", presence["from"], presence["type"], presence["status"], sep="|", flush=True)

    def message(self, message):
        if message["body"]:
            print("message", message["from"], message["type"], message["body"], sep="|", flush=True)


async def main():
    watcher = Watcher()
    watcher.connect(("127.0.0.1", int(PORT)))
    await watcher.wait_until("session_start", timeout=30)
    await watcher.get_roster()
    watcher.send_presence()
    print("online", flush=True)
    loop = asyncio.get_event_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        words = line.split(maxsplit=2)
        if not words:
            break
        if words[0] == "say":
            watcher.send_message(mto=words[1], mbody=words[2].strip(), mtype="chat")
        elif words[0] == "commands":
            # An answer counts only if it comes from whom was asked.
            items = (await watcher["xep_0050"].get_commands(words[1], timeout=30))["disco_items"]["items"]
            print("commands", len(items), sep="|", flush=True)
        else:
            watcher.send_presence_subscription(pto=words[1], ptype=words[0])
    watcher.disconnect()


asyncio.get_event_loop().run_until_complete(main())
