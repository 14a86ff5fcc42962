// One read lane of the vector engine: addresses in, words out in the same order.
// Does: queue up to 2 addresses, request them one by one, keep up to 8 words until they are taken, so that
// lanes may run ahead of each other when banks conflict.
// Does not: know which packet or operand a word belongs to.
// Latency: address to word 3 cycles when granted at once; one word per cycle. Memory handshake: valid and
// addr hold until grant, the word comes in the cycle after.
`default_nettype none
module vla_vector_read_lane #(
  parameter Aw       = 17,  // address bits of the activation scratchpad
  parameter WordBits = 128  // bits of a word
) (
  input  wire                clk_i,
  input  wire                rst_i,
  // addresses
  input  wire                addr_valid_i,
  output wire                addr_ready_o,
  input  wire [Aw-1:0]       addr_i,
  // memory
  output wire                rd_valid_o,
  output wire [Aw-1:0]       rd_addr_o,
  input  wire                rd_grant_i,
  input  wire [WordBits-1:0] rd_data_i,
  // words
  output wire                word_valid_o,
  input  wire                word_ready_i,
  output wire [WordBits-1:0] word_o
);

  localparam Depth = 8;
  localparam Cw    = 4;

  wire          head_valid;
  reg  [Cw-1:0] used_q;    // words granted and not yet taken
  reg           arrive_q;  // the word granted in the last cycle is on rd_data_i

  assign rd_valid_o = head_valid && used_q != Depth[Cw-1:0];
  wire granted = rd_valid_o && rd_grant_i;
  wire taken   = word_valid_o && word_ready_i;

  vla_fifo #(.Width(Aw), .Depth(2)) u_addresses (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(addr_valid_i), .in_ready_o(addr_ready_o), .in_data_i(addr_i),
    .out_valid_o(head_valid), .out_ready_i(granted), .out_data_o(rd_addr_o)
  );

  wire room_unused;  // `used_q` keeps the queue from overflowing
  vla_fifo #(.Width(WordBits), .Depth(Depth)) u_words (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(arrive_q), .in_ready_o(room_unused), .in_data_i(rd_data_i),
    .out_valid_o(word_valid_o), .out_ready_i(word_ready_i), .out_data_o(word_o)
  );

  always @(posedge clk_i) begin
    if (rst_i) begin
      used_q   <= {Cw{1'b0}};
      arrive_q <= 1'b0;
    end else begin
      arrive_q <= granted;
      if (granted && !taken) used_q <= used_q + 1'b1;
      else if (!granted && taken) used_q <= used_q - 1'b1;
    end
  end

endmodule
`default_nettype wire
