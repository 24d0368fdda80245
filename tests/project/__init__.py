"""What is true of the project as a whole: its documents, its packages, and what lies in deploy/."""
