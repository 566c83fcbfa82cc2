// A stock @hocuspocus/provider that does what it is told, one JSON object a line, and says what happens to it.
import { readFileSync } from 'node:fs'
import readline from 'node:readline'
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider'
import WebSocket from 'ws'
import * as Y from 'yjs'

const say = (event, about = {}) => console.log(JSON.stringify({ event, ...about }))
const sockets = {}
const documents = {}
const providers = {}

const arrays = name => [...documents[name].share.keys()].filter(root => !(documents[name].share.get(root) instanceof Y.Map))

const held = name => {
  const found = {}
  for (const root of arrays(name)) found[root] = documents[name].getArray(root).toArray()
  return found
}

const does = {
  connect ({ url, silence = 30000, ca }) {
    class Trusting extends WebSocket { // as an integrator would: the certificate file that `token add` names
      constructor (address, protocols) { super(address, protocols, ca ? { ca: readFileSync(ca) } : {}) }
    }
    const socket = (sockets.one = new HocuspocusProviderWebsocket({ url, WebSocketPolyfill: Trusting, delay: 50, minDelay: 50, messageReconnectTimeout: silence }))
    socket.on('status', ({ status }) => say('status', { status }))
    socket.on('close', ({ event }) => say('closed', { code: event.code, reason: String(event.reason) }))
  },
  attach ({ name, token }) {
    const document = (documents[name] ??= new Y.Doc())
    const count = () => arrays(name).reduce((sum, root) => sum + document.getArray(root).length, 0)
    const provider = (providers[name] = new HocuspocusProvider({
      websocketProvider: sockets.one,
      name,
      document,
      token,
      onSynced: () => say('synced', { name, count: count() }),
      onAuthenticated: ({ scope }) => say('authenticated', { name, scope }),
      onAuthenticationFailed: ({ reason }) => say('failed', { name, reason }),
      onUnsyncedChanges: ({ number }) => say('unsynced', { name, number }),
      onStateless: ({ payload }) => say('stateless', { name, payload: JSON.parse(payload) }),
      onClose: ({ event }) => say('shut', { name, reason: String(event.reason) })
    }))
    document.on('update', () => say('update', { name, count: count() }))
    provider.attach()
  },
  detach ({ name }) { providers[name].destroy() },
  watch ({ name, root }) { documents[name].getArray(root) },
  push ({ name, root, texts }) { documents[name].getArray(root).push(texts) },
  remove ({ name, root }) { documents[name].getArray(root).delete(0, 1) },
  map ({ name, root }) { documents[name].getMap(root).set('key', 'value') },
  show ({ name }) { say('held', { name, roots: held(name), unsynced: providers[name].unsyncedChanges, synced: providers[name].isSynced }) },
  drop () { sockets.one.webSocket.terminate() }
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  const order = JSON.parse(line)
  does[order.do](order)
}).on('close', () => process.exit(0))
say('ready')
