"""An agent at work with slixmpp, which knows nothing of the service: logs on by ad-hoc command, pauses by chat.

Usage: agent.py JID PASSWORD PORT CA_FILE SERVICE. Prints what it sees, a line each; exit status 0 if all went well.
"""

import asyncio
import sys

import slixmpp
from slixmpp.exceptions import IqError

JID, PASSWORD, PORT, CA_FILE, SERVICE = sys.argv[1:]
LOG_ON = "urn:usher:command:log-on"


class Agent(slixmpp.ClientXMPP):
    def __init__(self):
        super().__init__(JID, PASSWORD)
        self.ca_certs = CA_FILE
        for plugin in ("xep_0004", "xep_0030", "xep_0050", "xep_0115", "xep_0184"):
            self.register_plugin(plugin)
        self.found = asyncio.Future()
        self.texts = asyncio.Queue()
        self.receipts = asyncio.Queue()
        self.add_event_handler("presence_available", self.seen)
        self.add_event_handler("message", self.heard)
        self.add_event_handler("receipt_received", self.receipts.put_nowait)

    def seen(self, presence):
        if presence["from"].bare == SERVICE and not self.found.done():
            self.found.set_result(presence["from"].full)

    def heard(self, message):
        if message["body"] and message["type"] == "chat":
            self.texts.put_nowait(message["body"])


async def work(agent):
    await agent.wait_until("session_start", timeout=10)
    agent.send_presence()
    agent.send_presence_subscription(pto=SERVICE)
    service = await asyncio.wait_for(agent.found, 10)
    info = await agent["xep_0030"].get_info(jid=service)
    print("feature", "http://jabber.org/protocol/commands" in info["disco_info"]["features"])
    items = await agent["xep_0050"].get_commands(service)
    print("commands", len(items["disco_items"]["items"]))

    adhoc = agent["xep_0050"]
    first = (await adhoc.send_command(service, LOG_ON))["command"]
    form = first["form"]
    queues = form.get_fields()["queues"]
    print("form", first["status"], queues["type"], [option["value"] for option in queues["options"]])
    answer = agent["xep_0004"].make_form(ftype="submit")
    answer.add_field(var="queues", ftype="list-multi", value=["support"])
    last = await adhoc.send_command(
        service, LOG_ON, action="complete", payload=answer, sessionid=first["sessionid"]
    )
    print("done", last["command"]["status"], last["command"]["notes"])
    try:
        await adhoc.send_command(
            service, LOG_ON, action="complete", payload=answer, sessionid=first["sessionid"]
        )
    except IqError as error:
        print("again", error.iq["error"]["condition"])

    message = agent.make_message(mto=service, mbody="Pausa Almuerzo", mtype="chat")
    message["request_receipt"] = True
    message.send()
    print("chat", await asyncio.wait_for(agent.texts.get(), 10))
    await asyncio.wait_for(agent.receipts.get(), 10)
    print("receipt")


async def main():
    agent = Agent()
    agent.connect(("127.0.0.1", int(PORT)))
    try:
        await asyncio.wait_for(work(agent), 40)
    finally:
        agent.disconnect()


asyncio.get_event_loop().run_until_complete(main())
