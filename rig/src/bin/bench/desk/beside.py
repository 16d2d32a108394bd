"""Sends with slixmpp what the desk sends, as fast as slixmpp can: told what to do in lines of JSON, answers each with its times.

Started by the bench (make bench).
"""

import asyncio
import json
import sys
import time
from xml.etree import ElementTree

import slixmpp


class Sender(slixmpp.ClientXMPP):
    def __init__(self, setting):
        super().__init__(setting["jid"], setting["password"])
        self.setting = setting
        self.ca_certs = setting["ca"]
        for plugin in ("xep_0060", "xep_0198", "xep_0334"):
            self.register_plugin(plugin)
        self.counting = self["xep_0198"]
        self.pubsub = self["xep_0060"]
        self.acknowledged = 0
        self.wanted = 0
        self.all_acknowledged = asyncio.Event()
        self.online = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.online.set())
        self.add_event_handler("failed_auth", lambda _: sys.exit("slixmpp is not let in"))
        self.add_event_handler("disconnected", lambda _: sys.exit("slixmpp lost its connection"))
        self.add_event_handler("stanza_acked", self.one_is_acknowledged)

    def one_is_acknowledged(self, stanza):
        self.acknowledged += stanza.name == "message"
        if self.acknowledged == self.wanted:
            self.all_acknowledged.set()

    async def messages(self, job):
        """All at once; the server is asked what it has after each `window` of them, and after the last."""
        self.counting.window = self.counting.window_counter = job["window"]
        self.acknowledged, self.wanted = 0, len(self.setting["members"])
        self.all_acknowledged.clear()
        body = self.setting["announcement"].replace("MARK", job["mark"])
        begin = time.perf_counter()
        for member in self.setting["members"]:
            message = self.make_message(mto=member, mbody=body, mtype="chat")
            message.enable("no-store")
            message.enable("no-permanent-store")
            message.send()
        await self.waiting_queue.join()
        self.counting.request_ack()
        await self.all_acknowledged.wait()
        return [time.perf_counter() - begin]

    def pop(self, job):
        return ElementTree.fromstring(self.setting["pop"].replace("REVISION", str(job["revision"])))

    async def publish(self, number, pop):
        node, item = f"extension{self.setting['extensions'][number]}", self.setting["items"][number]
        # An error is raised, and ends the program.
        await self.pubsub.publish(self.setting["pubsub"], node, id=item, payload=pop)

    async def publishes(self, job):
        """Each confirmed, `window` of them at once."""
        work = iter([(number, self.pop(job)) for number in range(len(self.setting["extensions"]))])

        async def worker():
            for number, pop in work:
                await self.publish(number, pop)

        begin = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(job["window"])))
        return [time.perf_counter() - begin]

    async def pops(self, job):
        """One at a time."""
        took = []
        for number in range(job["count"]):
            pop = self.pop(job)
            begin = time.perf_counter()
            await self.publish(number, pop)
            took.append(time.perf_counter() - begin)
        return took


async def main():
    loop = asyncio.get_running_loop()
    line = lambda: loop.run_in_executor(None, sys.stdin.readline)
    sender = Sender(json.loads(await line()))
    host, port = sender.setting["address"].rsplit(":", 1)
    sender.connect((host, int(port)))
    await sender.online.wait()
    print(json.dumps({"took": []}), flush=True)
    while order := await line():
        job = json.loads(order)
        took = await getattr(sender, job["job"])(job)
        print(json.dumps({"took": took}), flush=True)


asyncio.run(main())
