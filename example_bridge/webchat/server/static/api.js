// Requests to the network that need no stream.

/** An answer that is an error; `code` is one of PROTOCOL.md. */
export class Refused extends Error {
  constructor({ code, message }) {
    super(message);
    this.code = code;
  }
}

export function makeApi(token) {
  return async function api(method, path, body) {
    const response = await fetch(path, {
      method,
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) throw new Refused(answer);
    return answer;
  };
}
