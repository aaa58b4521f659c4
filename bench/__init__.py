"""What Staffetta costs and spares its users, measured against references in the same run (`make bench`)."""
