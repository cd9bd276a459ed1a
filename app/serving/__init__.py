"""From a preference to pictures: the socket, its messages, the queue of one thread, and what it keeps."""
