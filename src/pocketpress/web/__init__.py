"""The browser client's built files, as the servers of Pocketpress hand them out."""
