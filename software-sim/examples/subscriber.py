#!/usr/bin/python3
"""Prints the screen pops of an extension: subscriber.py JID EXTENSION [HOST PORT], with the password in $PASSWORD.

Needs slixmpp (Debian: python3-slixmpp). $CA_FILE: the authority to trust where the system does not know the server's.
"""
import os
import sys
from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError, IqTimeout


class Subscriber(ClientXMPP):
    def __init__(self, jid, extension, host=None, port=5222):
        super().__init__(jid, os.environ['PASSWORD'])
        self.ca_certs = os.environ.get('CA_FILE')
        self.service, self.node = f'pubsub.{self.boundjid.domain}', f'extension{extension}'
        self.last, self.shown, self.where = {}, set(), (host, int(port)) if host else None
        self.register_plugin('xep_0060')
        self.add_event_handler('session_start', self.look)
        self.add_event_handler('pubsub_publish', self.notified)
        self.add_event_handler('pubsub_retract', self.notified)
        self.add_event_handler('disconnected', lambda _: self.connect(self.where))

    async def look(self, _=None):  # on each connect, and once a minute: whatever was missed is seen then
        self.send_presence(pshow='xa')  # a program, not the person
        try:
            await self['xep_0060'].subscribe(self.service, self.node)
            items = (await self['xep_0060'].get_items(self.service, self.node))['pubsub']['items']['substanzas']
            for call in self.shown - {item['id'] for item in items}:
                self.close(call)
            for item in items:
                self.show(item['payload'], is_new=False)
            print('subscribed', flush=True)
        except (IqError, IqTimeout) as error:
            print(f'{self.node} is not to be had: {error}', file=sys.stderr)
        self.cancel_schedule('look')
        self.schedule('look', 60, lambda: self.loop.create_task(self.look()))

    def notified(self, message):
        items = message['pubsub_event']['items']
        if message['from'] == self.service and items['node'] == self.node:
            for item in items['substanzas']:
                self.close(item['id']) if item.name == 'retract' else self.show(item['payload'])

    def show(self, pop, is_new=True):
        if pop is None or pop.tag != '{urn:usher:pop:1}pop':
            return
        call, state, revision = pop.get('call'), pop.get('state'), int(pop.get('revision'))
        is_last = state in ('ended', 'withdrawn')
        if revision <= self.last.get(call, 0) or (is_last and call not in self.shown and not is_new):
            return  # a repetition, or a leftover of a call that is over
        self.last[call] = revision
        (self.shown.discard if is_last else self.shown.add)(call)
        customer, caller = pop.find('{urn:usher:pop:1}customer'), pop.find('{urn:usher:pop:1}caller')
        number = caller.get('number') if caller is not None else ''
        print(f"{state}: {customer.get('name')}, code {customer.get('code')}, calls from {number or 'a withheld number'},"
              f" in {pop.get('queue')} since {pop.get('entered')}", flush=True)

    def close(self, call):
        if call in self.shown:
            self.shown.remove(call)
            print(f'closed: {call}', flush=True)


if __name__ == '__main__':
    subscriber = Subscriber(*sys.argv[1:])
    subscriber.connect(subscriber.where)
    subscriber.loop.run_forever()
