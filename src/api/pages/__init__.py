"""Pages: the customer's usage page, the operator's console, and the reference of the API. Made on the server, readable without scripts."""
