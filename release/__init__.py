"""What is said of a release's supply chain: its bill of materials, its licences, its known vulnerabilities."""
