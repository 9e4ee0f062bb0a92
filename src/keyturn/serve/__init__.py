"""`keyturn serve`: fresh secrets for code in any language, over HTTP on the loopback interface.

The server has the API of the AWS Parameters and Secrets Lambda Extension and that of AWS's Secrets Manager
agent. It needs the extra `serve`. docs/serve.md says how to run it and how it answers each request.
"""
