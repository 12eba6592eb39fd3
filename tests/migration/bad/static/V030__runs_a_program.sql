-- refused because: server-files
COPY users TO PROGRAM 'cat > /tmp/users.txt';
