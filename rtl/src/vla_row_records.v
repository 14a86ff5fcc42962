// The channel records of ROW: a parameter word of Block records for every step, kept until the step needs it.
// Does: request words in the order of the walk as steps come near (ahead_i), again for every pixel pair; ready_o says
// that the next step's word is there, pop_i takes the oldest word.
// Does not: request for packets without channel records (enable_i).
// Latency: ahead to ready 4 cycles when granted at once; one word per cycle. At most 32 words are kept or asked for.
`default_nettype none
module vla_row_records #(
  parameter ParamAw   = 11,
  parameter ParamBits = 1024
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  input  wire                 start_i,
  // constant while a packet runs
  input  wire                 enable_i,
  input  wire [ParamAw-1:0]   base_i,
  input  wire [9:0]           blocks_i,
  // steps
  input  wire                 ahead_i,   // one more will be launched
  output wire                 ready_o,
  input  wire                 launch_i,
  input  wire                 pop_i,     // a launched one takes its word
  output wire [ParamBits-1:0] word_o,
  // parameter memory
  output wire                 param_rd_valid_o,
  output wire [ParamAw-1:0]   param_rd_addr_o,
  input  wire                 param_rd_grant_i,
  input  wire [ParamBits-1:0] param_rd_data_i
);

  reg [5:0]         wanted_q;  // steps whose word is not asked for yet
  reg [5:0]         used_q;    // words asked for and not popped
  reg [5:0]         there_q;   // words that wait for a launch
  reg               arrive_q;  // the granted word is on param_rd_data_i
  reg [9:0]         left_q;    // blocks left in the pair
  reg [ParamAw-1:0] addr_q;

  wire take    = enable_i && ahead_i;
  wire granted = param_rd_valid_o && param_rd_grant_i;
  wire pop     = enable_i && pop_i;
  wire launch  = enable_i && launch_i;
  wire unused_ready, unused_valid;

  assign ready_o          = !enable_i || there_q != 6'd0;
  assign param_rd_valid_o = wanted_q != 6'd0 && !used_q[5];
  assign param_rd_addr_o  = addr_q;

  vla_fifo #(.Width(ParamBits), .Depth(32)) u_words (
    .clk_i(clk_i), .rst_i(rst_i), .in_valid_i(arrive_q), .in_ready_o(unused_ready), .in_data_i(param_rd_data_i),
    .out_valid_o(unused_valid), .out_ready_i(pop), .out_data_o(word_o)
  );

  always @(posedge clk_i) begin
    if (rst_i) begin
      wanted_q <= 6'd0;
      used_q   <= 6'd0;
      there_q  <= 6'd0;
      arrive_q <= 1'b0;
    end else begin
      wanted_q <= wanted_q + {5'd0, take} - {5'd0, granted};
      used_q   <= used_q + {5'd0, granted} - {5'd0, pop};
      there_q  <= there_q + {5'd0, arrive_q} - {5'd0, launch};
      arrive_q <= granted;
    end
  end

  always @(posedge clk_i) begin
    if (start_i || (granted && left_q == 10'd1)) begin
      left_q <= blocks_i;
      addr_q <= base_i;
    end else if (granted) begin
      left_q <= left_q - 10'd1;
      addr_q <= addr_q + 1'b1;
    end
  end

endmodule
`default_nettype wire
