"""The way out: which proxy, if any, stands between here and an endpoint. One rule for every client of ours."""
