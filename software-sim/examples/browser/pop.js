// A screen pop in the browser: subscribes to an extension's node over XMPP WebSocket (RFC 7395) and shows who is calling.
// What it relies upon is docs/screen-pop.md, and Strophe for XMPP.
'use strict';

const NAMESPACE = 'urn:usher:pop:1';
const WORDS = { offered: 'About to ring', ringing: 'Ringing', answered: 'Talking', ended: 'Call over', withdrawn: 'Went elsewhere' };
const LOOK = 60_000; // a server may have forgotten the subscription, and says nothing then
const STAYS = 5_000; // a card whose call is over

const last = new Map(); // call → highest revision read
const cards = new Map(); // call → its card, as long as the call is here
let settings, connection, looking, failures = 0;

const login = document.getElementById('login');
login.addEventListener('submit', (event) => {
  event.preventDefault();
  settings = Object.fromEntries(new FormData(login));
  settings.service = `pubsub.${Strophe.getDomainFromJid(settings.jid)}`;
  settings.node = `extension${settings.extension}`;
  login.hidden = true;
  connect();
});

function connect() {
  connection = new Strophe.Connection(settings.server);
  connection.connect(settings.jid, settings.password, (status) => {
    if (status === Strophe.Status.CONNECTED) {
      failures = 0;
      connection.addHandler(onMessage, null, 'message');
      connection.send($pres().c('show').t('xa')); // a program, not the person
      look();
    } else if (status === Strophe.Status.AUTHFAIL) {
      tell('wrong account or password', false);
      login.hidden = false;
    } else if (status === Strophe.Status.DISCONNECTED && login.hidden) {
      clearTimeout(looking);
      tell('not connected, trying again', false);
      setTimeout(connect, Math.min(30_000, 500 * 2 ** failures++) * (0.5 + Math.random() / 2));
    }
  });
}

// Subscribes and fetches what the node holds: nothing that was sent while we were away comes again.
function look() {
  clearTimeout(looking);
  looking = setTimeout(look, LOOK);
  const own = Strophe.getBareJidFromJid(connection.jid);
  ask('set', (iq) => iq.c('subscribe', { node: settings.node, jid: own }), () => {
    ask('get', (iq) => iq.c('items', { node: settings.node }), (answer) => {
      const items = [...answer.getElementsByTagName('item')];
      const held = new Set(items.map((item) => item.getAttribute('id')));
      [...cards.keys()].filter((call) => !held.has(call)).forEach(close);
      items.forEach((item) => show(item, false));
      tell(`watching extension ${settings.extension}`, true);
    });
  });
}

function ask(type, add, onResult) {
  const iq = $iq({ type, to: settings.service }).c('pubsub', { xmlns: 'http://jabber.org/protocol/pubsub' });
  connection.sendIQ(add(iq), onResult, (error) => {
    const reason = error?.querySelector('error > *')?.localName ?? 'no answer';
    tell(`extension ${settings.extension}: ${reason}`, false);
    clearTimeout(looking);
    looking = setTimeout(look, 5_000);
  }, 10_000);
}

function onMessage(message) {
  // Anybody may write to this account; pops come from the pubsub service alone.
  const items = message.querySelector('event > items');
  if (message.getAttribute('from') === settings.service && items?.getAttribute('node') === settings.node) {
    for (const item of items.children) {
      item.localName === 'retract' ? close(item.getAttribute('id')) : show(item, true);
    }
  }
  return true; // keeps the handler
}

function show(item, isNew) {
  const pop = [...item.children].find((child) => child.localName === 'pop' && child.namespaceURI === NAMESPACE);
  if (!pop) return;
  const [call, state] = [pop.getAttribute('call'), pop.getAttribute('state')];
  const revision = Number(pop.getAttribute('revision'));
  const isLast = state === 'ended' || state === 'withdrawn';
  if (revision <= (last.get(call) ?? 0)) return; // a repetition
  if (isLast && !cards.has(call) && !isNew) return; // a leftover
  last.set(call, revision);
  if (!cards.has(call)) {
    if (isLast) return;
    const card = document.getElementById('card').content.firstElementChild.cloneNode(true);
    cards.set(call, card);
    document.getElementById('pops').prepend(card);
  }
  const card = cards.get(call);
  const child = (name) => [...pop.children].find((found) => found.localName === name);
  // textContent, never innerHTML: names are other people's text.
  const fill = (field, text) => { card.querySelector(`[data-field=${field}]`).textContent = text; };
  card.dataset.state = state;
  fill('state', (pop.getAttribute('test') === 'true' ? 'Test: ' : '') + (WORDS[state] ?? state));
  fill('name', child('customer')?.getAttribute('name') || 'Unknown customer');
  fill('code', child('customer')?.getAttribute('code') ?? '');
  fill('number', child('caller')?.getAttribute('number') || 'withheld');
  fill('queue', pop.getAttribute('queue'));
  const entered = new Date(pop.getAttribute('entered'));
  card.querySelector('time').dateTime = entered.toISOString();
  fill('since', entered.toLocaleTimeString());
  if (isLast) close(call);
}

// The call is not here any more: the card stays a moment, so that one sees what became of it.
function close(call) {
  const card = cards.get(call);
  if (!card) return;
  cards.delete(call);
  card.dataset.over = '';
  setTimeout(() => card.remove(), STAYS);
}

function tell(text, isUp) {
  const link = document.getElementById('link');
  link.textContent = text;
  link.dataset.link = isUp ? 'up' : 'down';
}
