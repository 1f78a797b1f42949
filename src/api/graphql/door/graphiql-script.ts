const defaultQuery = `# Put your API key into Headers below: { "Authorization": "Bearer sgk_..." },
# or open this page as /graphql#key=sgk_...
# Subscriptions run over the same address by WebSocket.

query Jobs {
  jobs(first: 10) {
    totalCount
    nodes {
      jobId
      name
      status
      progress { step totalSteps }
      stale
    }
  }
}

subscription Watch {
  jobsUpdated {
    cursor
    event { type fromStatus toStatus }
    job { jobId name status message }
  }
}
`

/** The page's own script: queries and mutations over HTTP, subscriptions over graphql-ws, with the headers of the editor as connectionParams. A key in the address, `#key=sgk_…`, is put into the headers. */
export const graphiqlScript = `
const endpoint = new URL('/graphql', location.href)

function isSubscription(query, operationName) {
  const definitions = query.replace(/#[^\\n]*/g, '').matchAll(/\\b(query|mutation|subscription)\\b\\s*(\\w+)?[^{]*\\{/g)
  for (const [, kind, name] of definitions) if (!operationName || name === operationName) return kind === 'subscription'
  return false
}

async function overHttp(operation, headers) {
  const answer = await fetch(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json', ...headers },
    body: JSON.stringify(operation),
  })
  return answer.json()
}

function overWebSocket(operation, headers) {
  const address = new URL(endpoint)
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
  return {
    subscribe(observer) {
      const socket = new WebSocket(address, 'graphql-transport-ws')
      let over = false
      const send = (message) => socket.send(JSON.stringify(message))
      socket.onopen = () => send({ type: 'connection_init', payload: headers })
      socket.onclose = ({ code, reason }) => {
        if (!over) observer.error(new Error('The connection was closed: ' + code + ' ' + reason))
      }
      socket.onmessage = ({ data }) => {
        const { type, payload } = JSON.parse(data)
        if (type === 'connection_ack') send({ id: '1', type: 'subscribe', payload: operation })
        if (type === 'ping') send({ type: 'pong' })
        if (type === 'next') observer.next(payload)
        if (type === 'error') { over = true; observer.error({ errors: payload }); socket.close() }
        if (type === 'complete') { over = true; observer.complete(); socket.close() }
      }
      return {
        unsubscribe() {
          over = true
          if (socket.readyState === WebSocket.OPEN) send({ id: '1', type: 'complete' })
          socket.close()
        },
      }
    },
  }
}

// What stands behind # is not sent to any server. It leaves the address at once, so that it is not copied along with it.
const [, key] = /^#key=(sgk_[\\w-]+)$/.exec(location.hash) ?? []
if (key) history.replaceState(null, '', location.pathname + location.search)

YogaGraphiQL.renderYogaGraphiQL(document.querySelector('#root'), {
  title: 'ScaiMind',
  defaultQuery: ${JSON.stringify(defaultQuery)},
  ...(key ? { headers: JSON.stringify({ Authorization: 'Bearer ' + key }) } : {}),
  fetcher({ query, variables, operationName }, { headers = {} } = {}) {
    const operation = { query, variables, operationName }
    return isSubscription(query, operationName) ? overWebSocket(operation, headers) : overHttp(operation, headers)
  },
})
`
