"""The fiscal outbox: sales that name a filer are filed with a service, behind the commit and off the sale's path."""
